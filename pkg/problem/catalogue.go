package problem

// The codes. A name says what went wrong, not where.
const (
	ConfigSyntax     Code = "E-1001"
	ConfigMissing    Code = "E-1002"
	ConfigUnknownKey Code = "E-1003"
	ConfigValue      Code = "E-1004"
	ConfigDuplicate  Code = "E-1005"
	ConfigSecret     Code = "E-1006"
	ConfigFile       Code = "E-1007"
	ConfigFixed      Code = "E-1008"
	MappingInvalid   Code = "E-1101"
	MappingSample    Code = "E-1102"
	MappingKey       Code = "E-1103"
	Usage            Code = "E-1201"

	KafkaUnreachable Code = "E-2101"
	KafkaRefused     Code = "E-2102"
	KafkaTopic       Code = "E-2103"
	KafkaDataLoss    Code = "E-2104"
	RightsWide       Code = "E-2105"
	TLSFailed        Code = "E-2201"
	CertificateEnds  Code = "E-2202"
	APIUnreachable   Code = "E-2301"

	ClockAlone Code = "E-3001"
	ClockOff   Code = "E-3002"
	DiskFull   Code = "E-3101"
	DiskWrite  Code = "E-3102"
	DiskSlow   Code = "E-3103"
	Unhealthy  Code = "E-3201"

	DatabaseDown  Code = "E-3301"
	DatabaseUnfit Code = "E-3302"

	SourceRefused  Code = "E-4001"
	SourceTakeover Code = "E-4002"
	SessionLost    Code = "E-4004"
	SourceDown     Code = "E-4005"
	BrokerLoses    Code = "E-4006"
	BrokerSlow     Code = "E-4007"
	BrokerOpen     Code = "E-4008"
	BrokerWill     Code = "E-4009"
	ServerTrust    Code = "E-4101"
	NodeMissing    Code = "E-4102"
	ClientTrust    Code = "E-4103"
	LinkInsecure   Code = "E-4104"
	SourceStale    Code = "E-4105"
	TypeUnknown    Code = "E-4106"
	ServerTwice    Code = "E-4107"

	QueueFull    Code = "E-5001"
	QueueLocked  Code = "E-5002"
	QueueDamaged Code = "E-5003"
	QueueVersion Code = "E-5004"
	QueueCommit  Code = "E-5005"
	EpochFork    Code = "E-5101"

	EventInvalid    Code = "E-6001"
	EventForeign    Code = "E-6002"
	EventConflict   Code = "E-6003"
	EventUnknown    Code = "E-6004"
	EventLate       Code = "E-6005"
	EventWaiting    Code = "E-6006"
	EventPoison     Code = "E-6007"
	EventParked     Code = "E-6008"
	OffsetRange     Code = "E-6101"
	OffsetFence     Code = "E-6102"
	RuleRefused     Code = "E-6201"
	MappingFailed   Code = "E-6301"
	PayloadTooLarge Code = "E-6302"
	TopicForeign    Code = "E-6303"
	TopicUnmapped   Code = "E-6304"
	QualityBad      Code = "E-6305"

	EffectRejected   Code = "E-7001"
	EffectUnknown    Code = "E-7002"
	EffectConflict   Code = "E-7003"
	SystemDown       Code = "E-7101"
	SystemThrottled  Code = "E-7102"
	SystemRefused    Code = "E-7103"
	SystemPreflight  Code = "E-7104"
	SystemAnswer     Code = "E-7105"
	LedgerBroken     Code = "E-7201"
	LedgerUnanchored Code = "E-7202"
	StateDiffers     Code = "E-7203"

	TokenRefused Code = "E-8001"
	RoleRefused  Code = "E-8002"
	ObjectHidden Code = "E-8003"
	ReasonNeeded Code = "E-8004"
	StateMoved   Code = "E-8005"

	PasswordRefused  Code = "E-8006"
	UserLocked       Code = "E-8007"
	SignatureRefused Code = "E-8008"
	SignerRepeated   Code = "E-8009"

	FormForeign   Code = "E-8020"
	LoginsTooMany Code = "E-8021"
	LinkUsed      Code = "E-8022"
	PageMissing   Code = "E-8023"

	Internal Code = "E-9001"
)

// catalogue has one page per code.
var catalogue = map[Code]Page{
	ConfigSyntax:     {"configuration is not YAML", "nothing was started or changed", "correct the place named, then run check-config"},
	ConfigMissing:    {"a required key is missing", "nothing was started or changed", "add the key named, then run check-config"},
	ConfigUnknownKey: {"a key that does not exist", "nothing was started or changed, so that a typing error cannot switch a setting off in silence", "correct or remove the key, then run check-config"},
	ConfigValue:      {"a value outside its range", "nothing was started or changed", "correct the value at the place named, then run check-config"},
	ConfigDuplicate:  {"an id used twice", "nothing was started or changed", "give each source, mapping and system an id of its own"},
	ConfigSecret:     {"a secret in plain text", "nothing was started or changed, and the value must count as known to everyone who can read the file", "move the secret to a file of mode 0600 and name it by the key ending in _file; then change the secret"},
	ConfigFile:       {"a file that the configuration names cannot be used", "nothing was started or changed", "check path, owner and mode of the file named"},
	ConfigFixed:      {"a key that cannot change while the program runs", "the new configuration was refused whole, the one before stays in force", "put the value back, or restart the program: a restart loses nothing that was acknowledged"},
	MappingInvalid:   {"a mapping does not compile", "nothing was started or changed", "correct the expression at the place named; constants are quoted twice"},
	MappingSample:    {"a mapping's sample gives another result than it states", "nothing was started or changed", "correct the mapping or the sample"},
	MappingKey:       {"a mapping to lane quality has no natural key", "nothing was started: a message delivered twice would count twice", "add key: with what identifies the fact at its source, or key: arrival to accept double counting by name"},
	Usage:            {"a command was called with wrong arguments", "nothing was done", "see the command's --help"},

	KafkaUnreachable: {"Kafka cannot be reached", "events stay in the queue on disk, holds are kept locally", "check the link and the broker's address; sending goes on by itself when the link is back"},
	KafkaRefused:     {"Kafka refuses our identity or rights", "events stay in the queue on disk", "give the principal Write and Describe on its own topics, by literal name"},
	KafkaTopic:       {"a topic is missing or has another partition count than its specification", "what belongs to this topic waits; nothing is lost", "create the topic with the partitions named, or let the cloud do it by kafka.create_topics; partition counts never change"},
	KafkaDataLoss:    {"Kafka reports lost or reordered records", "sending starts anew behind the last confirmed record; duplicates are removed in the cloud", "look for an unclean leader election on the broker"},
	RightsWide:       {"our identity may do more than it needs", "who takes this gateway over can write what only the cloud may say, such as that a lot is free", "take the right named away, by literal topic name"},
	TLSFailed:        {"a TLS connection was refused", "the link stays down; events stay in the queue on disk", "check the certificate named, its issuer, and this host's clock"},
	CertificateEnds:  {"a certificate ends soon, or has ended", "from then on the other side may refuse the connection: what goes over it waits", "replace it before that day: our own for OPC UA by holdfast-agent cert renew, others where they were issued; holdfast-agent cert show lists all"},
	APIUnreachable:   {"the agent or the API does not answer", "nothing was read or changed", "check that the program runs and that address and token file are right"},

	ClockAlone: {"no time service keeps this host's clock", "times are marked as not synchronised; order and completeness do not depend on them, ages across a restart do", "timedatectl set-ntp true, or name the plant's time server to the time service of this host"},
	ClockOff:   {"this host's clock is off", "times of facts stand in the wrong place beside those of other plants; certificates may seem to be not valid", "timedatectl set-ntp true, or check the time server of the plant"},
	DiskFull:   {"the disk is full", "sources are not acknowledged, so that nothing is lost; they send again", "free space on the volume; collection goes on by itself"},
	DiskWrite:  {"the disk refuses writes", "the program stops, since it cannot say what is stored; its supervisor starts it again and every file is checked", "check the volume (read-only mount, hardware errors in the system log)"},
	DiskSlow:   {"the disk takes long to make a write durable", "each source waits for it with every batch", "put data on a faster disk, or read less"},
	Unhealthy:  {"the doctor found something that fails", "what it names does not work as it is, or loses data", "do what stands there as fix, then run doctor again"},

	DatabaseDown:  {"the database cannot be reached", "nothing is accepted or changed; Kafka keeps what the plants send, and holds are kept there", "check address, user, password and certificate of the database; the supervisor starts the program again"},
	DatabaseUnfit: {"the database would not keep what it confirms, or not every text", "nothing was started or changed", "put the setting named right at the server, or make another database"},

	BrokerLoses:    {"the broker acknowledges messages that it then drops", "while the agent is away, what a machine sent is lost, and the machine does not know it", "set the broker up as the finding says; its shipped example configuration does"},
	BrokerSlow:     {"the broker sends few messages without an acknowledgement", "each batch is small, so that fast sources wait at the broker", "raise the broker's in-flight limit, in Mosquitto max_inflight_messages 200"},
	BrokerOpen:     {"the broker lets our user write where it has no business", "who takes this gateway over can speak for the machines, and perhaps any machine for another", "give each user of the broker its own topics by a list of rights; the shipped example does"},
	BrokerWill:     {"the broker does not publish the will of a client that is gone", "a machine that is cut off looks alive to everybody who waits for its last word", "let the broker publish wills; in Mosquitto a client needs the right to write its will's topic"},
	SourceRefused:  {"a source refuses the connection or subscription", "values of this source are not read; the gap is recorded", "check address, user, rights and topic filter of the source"},
	SourceTakeover: {"another client uses this client id", "the two throw each other out; messages wait at the broker", "give each client an id of its own; look for a second agent with the same plant and id"},
	SourceDown:     {"a source cannot be reached", "its messages wait where they are; the connection is tried again by itself", "check the source, the link to it and the address"},
	SessionLost:    {"the broker no longer knows our session", "messages sent while we were away may be lost at the broker; a gap is recorded", "check the broker's persistence and session expiry"},

	ServerTrust:  {"the server's certificate is not trusted", "values of this source are not read; the gap is recorded", "compare the thumbprint named with the one that the server shows; if it is the right server: holdfast-agent cert trust, with this thumbprint"},
	NodeMissing:  {"a node is not at the server, or cannot be read", "this item alone is not read, its gap is recorded, all others go on; it is tried again by itself", "compare the node with the server's address space, then correct the node or the server's program"},
	ClientTrust:  {"the server does not trust our certificate", "values of this source are not read; the gap is recorded", "at the server move the certificate with the thumbprint named from its rejected to its trusted folder"},
	LinkInsecure: {"the connection would be less secure than configured", "nothing was sent over it; values of this source are not read", "offer the configured security at the server, or name owner, reason and end of an exception"},
	SourceStale:  {"a source is connected, and nothing comes from it", "the connection is built anew; the gap is recorded", "check whether server or machine hang; the connection is tried again by itself"},
	TypeUnknown:  {"a structure that the server does not describe", "its values are in quarantine with their raw bytes", "update the server's firmware, or read the structure's members one by one with pattern counter"},
	ServerTwice:  {"two servers with one application URI", "the second is not read: its facts would count as those of the first", "give each server a certificate with an application URI of its own"},

	QueueFull:    {"the queue is at its quota", "sources of lane quality are not acknowledged, telemetry sheds its oldest records", "bring the link back or raise queue.disk; collection goes on by itself"},
	QueueLocked:  {"another process has the queue open", "this process does not start; the other one goes on", "stop the other agent, or use its socket"},
	QueueDamaged: {"a queue file is damaged", "the file was set aside and what could be read was saved; the missing range is recorded as a loss", "keep the file named for analysis and check the disk"},
	QueueVersion: {"the queue was written by a newer version", "nothing was opened or changed", "install that version or a newer one"},
	QueueCommit:  {"a commit to the queue failed", "whether the records are stored is unknown, so nothing is acknowledged and the program stops; its supervisor starts it again", "check the volume named"},
	EpochFork:    {"two gateways continue the same queue", "records of the loser are quarantined, its urgent ones apply", "find out which gateway is the right one and stop the other"},

	EventInvalid:    {"an event does not fit its schema", "it is in quarantine with its raw bytes; a hold of kind system stands where it was urgent", "correct the mapping or the sender, then redrive it"},
	EventForeign:    {"an event claims another plant than its topic", "it is in quarantine and changed nothing", "find out who wrote to the topic; check its ACL"},
	EventConflict:   {"one event id came with two contents", "the second is in quarantine, the first stands", "find the source that reuses the id; decide which one is true"},
	EventUnknown:    {"an event type or version that this version does not know", "it is in quarantine until an upgrade", "upgrade, then redrive it"},
	EventLate:       {"an event came after a later one of its lot from the same agent", "the lot is parked for review", "review the lot, then redrive it"},
	EventWaiting:    {"an event names an object that is not known yet", "it waits for that object; the lot is not parked", "none for 24 h; after that find the missing event"},
	EventPoison:     {"an event makes its handler fail", "its lot is parked, other lots go on, holds pass", "correct it with deadletter fix, then deadletter redrive"},
	EventParked:     {"an event waits behind a parked one", "later events of this lot wait in order, holds pass", "deal with the first parked event of the lot"},
	OffsetRange:     {"the stored offset no longer exists in Kafka", "the partition stands still; nothing is skipped", "restore the topic with its records; where they are gone, stop the cloud, set next of the partition in the table kafka_offset to the first one that Kafka still has, and start it again: what is missing then shows as gaps, which no release passes before they are accepted"},
	OffsetFence:     {"another process moved the offset", "this process stops working on the partition; nothing was written twice", "none if another copy took over; else look for a second cloud on the same database"},
	RuleRefused:     {"a rule refuses this change", "the state did not change", "see the rule named in the cause"},
	MappingFailed:   {"a message could not be mapped", "it is in quarantine with its raw bytes, and was acknowledged", "correct the mapping or the sender, then redrive it"},
	PayloadTooLarge: {"a message exceeds the limit", "its first 4 KiB, length and hash are in quarantine, and it was acknowledged", "raise max_payload of the source, or make the sender split it"},
	TopicForeign:    {"a message names another plant or a topic that was not subscribed", "it is in quarantine and changed nothing", "find out who published it; check the broker's ACL"},
	QualityBad:      {"the source itself calls a value less than good", "the value is in quarantine with its raw bytes and was not judged: a broken sensor often keeps a plausible number", "check the sensor and the link behind the server; a mapping that is to take such values looks at sig.quality, and gives them no evaluation"},
	TopicUnmapped:   {"no mapping takes this topic", "the message is in quarantine", "add a mapping, or name the topic under discard"},

	EffectRejected:   {"a system refused a change for a business reason", "the change did not happen; it is not tried again", "read the system's own text, put the matter right there, then make the effect due again"},
	EffectUnknown:    {"whether a change happened is unknown", "it is looked up by its reference before anything else", "none unless it stays so; then look for the reference in the system"},
	EffectConflict:   {"the object keeps changing under our hands", "the change waits", "find who changes the object all the time"},
	SystemDown:       {"a system does not answer", "effects wait, holds first, and are tried again by themselves", "check the system"},
	SystemThrottled:  {"a system asks us to slow down", "effects wait as long as it asks, five minutes at most", "raise the limit there or lower rate here"},
	SystemRefused:    {"a system refuses our user", "effects of this system wait; no further log-in is tried, so that the user is not locked out", "check user, password file and rights, then resume the system"},
	SystemPreflight:  {"a system is not set up as its connector needs", "no effect is sent to it", "put right what the finding names"},
	SystemAnswer:     {"a system gave an answer that makes no sense", "it counts as unknown and is looked up", "see the evidence in the ledger"},
	LedgerBroken:     {"the audit chain does not verify", "from the place named on nothing is proven", "compare with the anchors; keep the database as evidence"},
	LedgerUnanchored: {"a tail of the audit chain is not anchored yet", "the entries named are proven by the database alone", "none if it is under a minute; else check the anchor file's volume"},
	StateDiffers:     {"the stored state does not follow from the accepted events", "what is stored about lots may be wrong", "keep the database as evidence; compare the two with rebuild --keep, and hold what differs"},

	TokenRefused: {"a token is missing, unknown or expired", "nothing was read or changed", "use the token file that belongs to you"},
	RoleRefused:  {"the role does not allow this", "nothing was changed; the attempt is in the ledger", "ask someone with the role named"},
	ObjectHidden: {"the object does not exist for this identity", "nothing was read; the attempt is in the ledger", "check the id and your plants"},
	ReasonNeeded: {"an act without a reason", "nothing was changed", "state why with --reason"},
	StateMoved:   {"the object changed since it was read", "nothing was changed", "read it again and decide on what it is now"},

	PasswordRefused:  {"user name or password is wrong", "nothing was signed or changed; after several wrong passwords the name is locked for a while", "try again, or ask an administrator for a new password"},
	UserLocked:       {"too many wrong passwords were given for this user name", "no password is looked at until the time named, not even the right one", "wait until then, or ask an administrator for a new password; look in the ledger for who tried"},
	SignatureRefused: {"this user may not sign", "nothing was signed or changed; the attempt is in the ledger", "let a person with the role named sign; a password that an administrator gave is changed first, by user passwd"},
	SignerRepeated:   {"two signatures are those of one person", "nothing was signed or changed", "let another person sign as well; two accounts of one person are one signer"},

	FormForeign:   {"a form that did not come from a page of this session", "nothing was changed", "go back, load the page again and send the form once more; look up who sent you the link, if a link brought you here"},
	LoginsTooMany: {"too many log-ins from one address", "no password is looked at for some seconds", "wait half a minute and try again"},
	LinkUsed:      {"a link that works once", "nothing was changed", "log in, if there is a user; else start the program again, which prints a new link"},
	PageMissing:   {"a page that does not exist", "nothing was read or changed", "look for it in the navigation, or search for the lot"},

	Internal: {"a fault in Holdfast itself", "what was being done did not happen; nothing acknowledged is lost", "report it with the log lines around this one"},
}
