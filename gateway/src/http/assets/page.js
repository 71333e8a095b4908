// Live: the server says that something changed, the page asks for itself and puts in what is new. Everything works
// without this file; only then by reloading.
"use strict";
(() => {
  document.addEventListener("submit", (event) => {
    const question = event.target.dataset.confirm;
    if (question && !window.confirm(question)) event.preventDefault();
  });
  document.addEventListener("click", (event) => {
    for (const open of document.querySelectorAll("details.more[open]")) {
      if (!open.contains(event.target)) open.open = false;
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") for (const open of document.querySelectorAll("details.more[open]")) open.open = false;
  });

  const bubbles = document.querySelector(".talk .bubbles");
  // A conversation begins at its end: in its own box on a desk, at the foot of the page on a phone.
  const toEnd = () => {
    if (!bubbles || new URLSearchParams(location.search).has("cursor")) return;
    bubbles.scrollTop = bubbles.scrollHeight;
    if (bubbles.scrollHeight <= bubbles.clientHeight) bubbles.lastElementChild?.scrollIntoView({ block: "end" });
  };
  toEnd();

  const address = document.body.dataset.watch;
  if (!address || !window.EventSource) return;
  const lamps = document.querySelectorAll("[data-live-state]");
  const lamp = (on) => {
    for (const one of lamps) {
      one.classList.toggle("on", on);
      const words = one.querySelector("[data-on]");
      words.textContent = on ? words.dataset.on : words.dataset.off;
    }
  };

  // What a reader has unfolded, is typing in or has scrolled to stays as it is.
  const replace = (now, next) => {
    if (now.innerHTML === next.innerHTML || now.contains(document.activeElement) && document.activeElement.matches("input, textarea, select")) return false;
    const unfolded = [...now.querySelectorAll("details[open][id]")].map((one) => one.id);
    const focused = now.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    const atEnd = now.scrollTop + now.clientHeight >= now.scrollHeight - 40;
    const from = now.scrollTop;
    now.replaceChildren(...document.importNode(next, true).childNodes);
    now.className = next.className;
    for (const id of unfolded) { const one = now.querySelector("#" + CSS.escape(id)); if (one) one.open = true; }
    if (focused) now.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus();
    now.scrollTop = atEnd && now === bubbles ? now.scrollHeight : from;
    return true;
  };

  const REST = 1500; // in a flood the page is asked for no more often than this, in milliseconds
  let asked = 0, planned = null, seen = document.body.dataset.revision;
  const refresh = async () => {
    planned = null;
    asked = Date.now();
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" } });
      if (answer.redirected || !answer.ok) { location.reload(); return; }
      const next = new DOMParser().parseFromString(await answer.text(), "text/html");
      let changed = false;
      seen = next.body.dataset.revision;
      for (const now of document.querySelectorAll("[data-live][id]")) {
        const other = next.getElementById(now.id);
        if (other && replace(now, other)) changed = true;
      }
      if (changed) {
        const news = document.getElementById("live-news");
        news.textContent = "";
        news.textContent = news.dataset.changed;
      }
    } catch { lamp(false); }
  };
  const soon = () => {
    if (planned || document.hidden) return;
    planned = setTimeout(refresh, Math.max(0, asked + REST - Date.now()));
  };

  let source = null;
  const watch = () => {
    source = new EventSource(address);
    source.addEventListener("open", () => lamp(true));
    source.addEventListener("error", () => lamp(false));
    source.addEventListener("change", (event) => { if (event.data !== seen) soon(); });
  };
  // A page that nobody looks at holds no connection: there are 64, and Meta needs some.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { source?.close(); source = null; lamp(false); } else if (!source) { watch(); }
  });
  // The form of a token is not sent again by asking for the page anew.
  if (!document.getElementById("fresh")) watch();
})();
