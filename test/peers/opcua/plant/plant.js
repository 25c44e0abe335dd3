// A press as an OPC UA server on loopback, driven by the Go test that starts it.
//
// Settings come as one JSON object in the first argument: port, pki (folder of its own certificate), state (file with
// the newest count, kept like retained memory), cycle (ms per part), shift (namespaces before its own), without (list of
// variables left out), history (false: none is kept), accept (false: unknown
// clients are rejected). Commands come as lines of JSON on stdin, answers and "ready" go out as
// lines of JSON on stdout. Nothing else is written there.
"use strict";

const fs = require("fs");
const path = require("path");
const readline = require("readline");
const ua = require("node-opcua");

const settings = { cycle: 200, shift: 0, without: [], history: true, accept: true, ...JSON.parse(process.argv[2]) };
const plantURI = "urn:example:peer:press7";
const typeURI = "urn:example:peer:types";
const say = (message) => process.stdout.write(JSON.stringify(message) + "\n");

// nodeset describes one namespace; content goes between its head and its end.
function nodeset(uri, content) {
  const ns = "http://opcfoundation.org/UA/2011/03/UANodeSet.xsd";
  return [
    `<UANodeSet xmlns="${ns}">`,
    `<NamespaceUris><Uri>${uri}</Uri></NamespaceUris>`,
    `<Models><Model ModelUri="${uri}" Version="1.0.0" PublicationDate="2026-06-01T00:00:00Z">`,
    `<RequiredModel ModelUri="http://opcfoundation.org/UA/" Version="1.04" PublicationDate="2019-01-01T00:00:00Z"/>`,
    "</Model></Models>",
    content,
    "</UANodeSet>",
  ].join("\n");
}

const partFields = [
  ["Count", "i=7", -1], ["Serial", "i=12", -1], ["Lot", "i=12", -1], ["Force", "i=11", -1], ["Pass", "i=1", -1],
  ["Made", "i=294", -1], ["Trace", "i=10", 1], ["Remark", "i=21", -1],
];

const partType = nodeset(typeURI, `
<UADataType NodeId="ns=1;i=100" BrowseName="1:PartType"><DisplayName>PartType</DisplayName>
<References><Reference ReferenceType="i=45" IsForward="false">i=22</Reference></References>
<Definition Name="1:PartType">
${partFields.map(([name, type, rank]) => `<Field Name="${name}" DataType="${type}" ValueRank="${rank}"/>`).join("\n")}
</Definition></UADataType>
<UAObject NodeId="ns=1;i=101" BrowseName="Default Binary" SymbolicName="DefaultBinary"><DisplayName>Default Binary</DisplayName>
<References><Reference ReferenceType="i=38" IsForward="false">ns=1;i=100</Reference><Reference ReferenceType="i=40">i=76</Reference></References></UAObject>`);

function file(name, text) {
  const target = path.join(settings.pki, name);
  fs.writeFileSync(target, text);
  return target;
}

async function identity() {
  const manager = new ua.OPCUACertificateManager({ rootFolder: settings.pki, automaticallyAcceptUnknownCertificate: settings.accept });
  await manager.initialize();
  const certificate = path.join(settings.pki, "press7.pem");
  if (!fs.existsSync(certificate)) {
    await manager.createSelfSignedCertificate({
      applicationUri: "urn:example:peer:server", subject: "/CN=press7", dns: ["localhost"], ip: ["127.0.0.1"],
      startDate: new Date(Date.now() - 3600e3), validity: 365, outputFile: certificate,
    });
  }
  return { manager, certificate };
}

async function main() {
  fs.mkdirSync(settings.pki, { recursive: true });
  const { manager, certificate } = await identity();
  const fillers = Array.from({ length: settings.shift }, (_, i) => file(`filler-${i}.xml`, nodeset(`urn:example:peer:filler:${i}`, "")));
  const server = new ua.OPCUAServer({
    host: "127.0.0.1", hostname: "127.0.0.1", alternateHostname: ["127.0.0.1"], port: settings.port, resourcePath: "/press7",
    serverCertificateManager: manager, certificateFile: certificate, privateKeyFile: manager.privateKey,
    serverInfo: { applicationUri: "urn:example:peer:server" },
    allowAnonymous: false,
    userManager: { isValidUser: (name, password) => name === "holdfast" && password === "press7-secret" },
    securityPolicies: [ua.SecurityPolicy.None, ua.SecurityPolicy.Basic256Sha256, ua.SecurityPolicy.Aes256_Sha256_RsaPss],
    securityModes: [ua.MessageSecurityMode.None, ua.MessageSecurityMode.Sign, ua.MessageSecurityMode.SignAndEncrypt],
    nodeset_filename: [ua.nodesets.standard, ...fillers, file("types.xml", partType)],
    serverCapabilities: { maxSessions: 30 },
  });
  await server.initialize();
  const press = build(server.engine.addressSpace);
  await server.start();
  const timer = setInterval(press.cycle, settings.cycle);
  listen(server, press, timer);
  say({ ready: true, url: `opc.tcp://127.0.0.1:${settings.port}/press7` });
}

// build makes the address space and returns what the press does.
function build(space) {
  space.installAlarmsAndConditionsService();
  const own = space.registerNamespace(plantURI);
  const objects = space.rootFolder.objects;
  const line = own.addObject({ browseName: "Press7", nodeId: "s=Press7", organizedBy: objects, eventNotifier: 1, notifierOf: objects.server });
  const variable = (name, dataType, initial, more) => {
    if (settings.without.includes(name)) return undefined;
    const v = own.addVariable({ browseName: name, nodeId: `s=Press7.${name}`, componentOf: line, dataType, minimumSamplingInterval: 10, ...more });
    if (initial !== undefined) v.setValueFromSource({ dataType, value: initial });
    return v;
  };
  const force = variable("Force", ua.DataType.Double, 0);
  const forceLo = variable("ForceLo", ua.DataType.Double, 40);
  let n = fs.existsSync(settings.state) ? Number(fs.readFileSync(settings.state, "utf8")) : 0;
  const count = variable("Count", ua.DataType.UInt32, n);
  const partData = space.findDataType("PartType", space.getNamespaceIndex(typeURI));
  const part = own.addVariable({ browseName: "Part", nodeId: "s=Press7.Part", componentOf: line, dataType: partData.nodeId, minimumSamplingInterval: 10 });
  const alarmInput = variable("AlarmInput", ua.DataType.Double, 45, { eventSourceOf: line });
  own.instantiateExclusiveLimitAlarm("ExclusiveLimitAlarmType", {
    browseName: "ForceAlarm", conditionName: "ForceAlarm", nodeId: "s=Press7.ForceAlarm", componentOf: line, conditionSource: alarmInput, inputNode: alarmInput,
    lowLowLimit: 20, lowLimit: 40, highLimit: 50, highHighLimit: 70,
  });
  const made = own.addEventType({ browseName: "PartMadeEventType", subtypeOf: "BaseEventType" });
  for (const [name, dataType] of [["Count", "UInt32"], ["Serial", "String"]]) {
    own.addVariable({ browseName: name, propertyOf: made, dataType, modellingRule: "Mandatory" });
  }
  if (settings.history) for (const v of [force, count]) space.installHistoricalDataNode(v, { maxOnlineValues: 2000 });

  let bad = ua.StatusCodes.Good;
  const cycle = () => {
    n += 1;
    fs.writeFileSync(settings.state + ".new", String(n));
    fs.renameSync(settings.state + ".new", settings.state); // a kill must not leave it empty
    const now = new Date();
    const load = 45 + (n % 9) / 2;
    const serial = "S" + String(n).padStart(6, "0");
    force.setValueFromSource({ dataType: ua.DataType.Double, value: load }, bad, now);
    part.setValueFromSource({
      dataType: ua.DataType.ExtensionObject,
      value: space.constructExtensionObject(partData, {
        count: n, serial, lot: "L-" + Math.ceil(n / 100), force: load, pass: true, made: now, trace: [load, load / 2], remark: { locale: "de", text: "geprüft" },
      }),
    }, ua.StatusCodes.Good, now);
    line.raiseEvent(made, {
      severity: { dataType: "UInt16", value: 100 }, message: { dataType: "LocalizedText", value: { text: "part " + n } },
      count: { dataType: "UInt32", value: n }, serial: { dataType: "String", value: serial },
    });
    count.setValueFromSource({ dataType: ua.DataType.UInt32, value: n }, ua.StatusCodes.Good, now); // last: the trigger
  };
  return {
    cycle, made: () => n, limits: forceLo,
    alarm: (on) => alarmInput.setValueFromSource({ dataType: ua.DataType.Double, value: on ? 60 : 45 }),
    bad: (on) => { bad = on ? ua.StatusCodes.BadSensorFailure : ua.StatusCodes.Good; },
  };
}

// listen does what the test says, one line each.
function listen(server, press, timer) {
  const input = readline.createInterface({ input: process.stdin });
  input.on("line", (line) => {
    const command = JSON.parse(line);
    if (command.do === "alarm") press.alarm(command.on);
    if (command.do === "bad") press.bad(command.on);
    if (command.do === "halt") clearInterval(timer);
    say({ done: command.do, made: press.made(), sessions: server.engine.currentSessionCount });
  });
  input.on("close", () => process.exit(0));
}

main().catch((err) => {
  say({ failed: String(err && err.stack || err) });
  process.exit(1);
});
