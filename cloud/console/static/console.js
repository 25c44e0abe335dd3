// What a script adds to pages that work without one: keys, and pages that refresh themselves.
"use strict";
(function () {
  // Keys. Nothing is taken from a field that somebody types into.
  function typing(target) {
    return target.closest("input, select, textarea") !== null || target.isContentEditable;
  }
  document.addEventListener("keydown", function (event) {
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    if (event.key === "/") {
      const search = document.getElementById("q");
      if (search) {
        event.preventDefault();
        search.focus();
      }
    } else if (event.key === "j" || event.key === "k") {
      const rows = Array.from(document.querySelectorAll("main .card .title, main tbody th a"));
      const at = rows.indexOf(document.activeElement);
      const next = rows[event.key === "j" ? at + 1 : Math.max(at - 1, 0)];
      if (next) next.focus();
    }
  });

  // Pages that refresh themselves: a stream says that something has changed, htmx asks for the page again.
  const live = document.getElementById("live");
  if (!live || !window.htmx) return;
  const step = 3000; // a busy mesh changes all the time; eyes do not
  const poll = 10000; // while there is no stream
  const old = 45000; // after which the page says that it is not refreshed
  let stream = null, due = false, asked = 0, fresh = Date.now();

  // Nobody loses what is being written, marked or read in an open form.
  function busy() {
    const main = document.getElementById("main");
    const active = document.activeElement;
    return document.hidden || !window.getSelection().isCollapsed || main.querySelector("details.act[open]") !== null ||
      (active && main.contains(active) && active.matches("input, select, textarea"));
  }
  function listen() {
    if (stream || document.hidden) return;
    stream = new EventSource(live.dataset.stream);
    stream.addEventListener("change", function () { due = true; });
    stream.addEventListener("open", function () { fresh = Date.now(); });
  }
  setInterval(function () {
    const now = Date.now();
    const alone = !stream || stream.readyState !== EventSource.OPEN;
    if (!alone && !due) fresh = now;
    document.body.classList.toggle("old", now - fresh > old);
    document.querySelectorAll(".stale").forEach(function (e) { e.hidden = now - fresh <= old; });
    if (stream && stream.readyState === EventSource.CLOSED) stream = null;
    if (stream === null && now - asked > poll) listen();
    if ((due && now - asked >= step || alone && now - asked >= poll) && !busy()) {
      asked = now;
      due = false;
      window.htmx.trigger(live, "refresh");
    }
  }, 500);
  document.addEventListener("visibilitychange", function () {
    if (document.hidden && stream) { // six connections a host are all that a browser has
      stream.close();
      stream = null;
    } else {
      due = true;
      listen();
    }
  });

  // What was open and had the focus is so again in the new page.
  let open = [], focus = null;
  document.addEventListener("htmx:beforeSwap", function (event) {
    if (event.detail.elt !== live && event.detail.requestConfig.elt !== live) return;
    open = Array.from(document.querySelectorAll("main details[open]")).map(function (d) { return d.firstElementChild.textContent; });
    const active = document.activeElement;
    focus = active && active.matches("main a[href]") ? active.getAttribute("href") : null;
  });
  document.addEventListener("htmx:afterSettle", function () {
    fresh = Date.now();
    document.querySelectorAll("main details").forEach(function (d) {
      if (open.includes(d.firstElementChild.textContent)) d.open = true;
    });
    open = [];
    if (focus !== null) {
      const again = Array.from(document.querySelectorAll("main a[href]")).find(function (a) { return a.getAttribute("href") === focus; });
      if (again) again.focus();
      focus = null;
    }
  });
  listen();
})();
