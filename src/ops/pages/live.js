"use strict";

// Keeps the live part of a page as the server sees it. Without this, a page is right when it is loaded.
const live = document.getElementById("live");

function show(html) {
  const selection = getSelection();
  if (!selection.isCollapsed && live.contains(selection.anchorNode)) return; // somebody copies something
  const link = live.contains(document.activeElement) && document.activeElement.getAttribute("href");
  live.innerHTML = html;
  if (link) live.querySelector(`[href="${CSS.escape(link)}"]`)?.focus();
}

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
