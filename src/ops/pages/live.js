"use strict";

// Keeps the live part of a page as the server sees it. Without this, a page is right when it is loaded.
const live = document.getElementById("live");
let shown = live?.innerHTML;
let waiting; // until nothing is selected any more: somebody copies something

function show(html) {
  waiting = undefined;
  const next = document.createElement("div");
  next.innerHTML = html;
  if (next.innerHTML === shown) return; // what the page came with: nobody's button is taken from under the finger
  const selection = getSelection();
  if (!selection.isCollapsed && live.contains(selection.anchorNode)) {
    waiting = html;
    return;
  }
  const link = live.contains(document.activeElement) && document.activeElement.getAttribute("href");
  live.innerHTML = html;
  shown = next.innerHTML;
  if (link) live.querySelector(`[href="${CSS.escape(link)}"]`)?.focus();
}

document.addEventListener("selectionchange", () => waiting !== undefined && show(waiting));

if (live && "EventSource" in window) {
  const events = new EventSource(location.href);
  events.onmessage = (event) => show(event.data);
  events.onopen = () => document.body.classList.remove("stale");
  events.onerror = () => {
    document.body.classList.add("stale");
    // Refused, not broken off: it is not asked again by itself.
    if (events.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 10000);
  };
  addEventListener("pagehide", () => events.close());
}
