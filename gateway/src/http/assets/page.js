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

  // Numbers beside the lines of a long text; a problem leads to its line.
  const text = document.querySelector("textarea[data-lines]");
  if (text) {
    const gutter = document.createElement("pre");
    gutter.className = "gutter code";
    gutter.setAttribute("aria-hidden", "true");
    text.before(gutter);
    const wrong = new Set([...document.querySelectorAll("a[data-line]")].map((one) => Number(one.dataset.line)));
    const number = () => {
      gutter.replaceChildren(...text.value.split("\n").map((_, at) => {
        const one = document.createElement(wrong.has(at + 1) ? "b" : "span");
        one.textContent = `${at + 1}\n`;
        return one;
      }));
      gutter.scrollTop = text.scrollTop;
    };
    const fit = () => { gutter.style.height = `${text.offsetHeight}px`; };
    text.addEventListener("input", number);
    text.addEventListener("scroll", () => { gutter.scrollTop = text.scrollTop; });
    new ResizeObserver(fit).observe(text);
    number();
    document.addEventListener("click", (event) => {
      const line = Number(event.target.dataset?.line);
      if (!line) return;
      event.preventDefault();
      const lines = text.value.split("\n");
      const at = lines.slice(0, line - 1).reduce((sum, one) => sum + one.length + 1, 0);
      text.focus();
      text.setSelectionRange(at, at + lines[line - 1].length);
      text.scrollTop = Math.max(0, (line - 4) * text.scrollHeight / lines.length);
      text.scrollIntoView({ block: "center" });
    });
  }

  // A draft is nowhere but in this page: whoever leaves it by mistake is asked.
  const draft = document.querySelector("#draft");
  if (draft) {
    const words = draft.elements.text;
    let sent = false;
    draft.addEventListener("submit", () => { sent = true; });
    window.addEventListener("beforeunload", (event) => {
      if (!sent && (words.value !== words.defaultValue || "unsaved" in words.dataset)) event.preventDefault();
    });
  }

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
