"use strict";

// A checkout that is not known yet may be in a moment.
if (document.querySelector("[data-again]")) setTimeout(() => location.reload(), 5000);

// Buttons that copy what stands beside them.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy]");
  if (!button) return;
  const name = button.textContent;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = "Copied";
  } catch {
    // Not allowed (a page without TLS, say): what is selected can be copied by hand.
    getSelection().selectAllChildren(button.parentElement.querySelector(".key"));
    button.textContent = "Selected";
  }
  setTimeout(() => (button.textContent = name), 5000);
});
