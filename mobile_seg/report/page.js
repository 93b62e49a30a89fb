for (const slider of document.querySelectorAll("input[data-sets]")) {
  const root = document.documentElement.style;
  const set = () => root.setProperty(slider.dataset.sets, slider.value + (slider.dataset.unit || ""));
  slider.addEventListener("input", set);
  set();
}
for (const button of document.querySelectorAll("[data-copies]")) {
  if (!navigator.clipboard) continue;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copies).textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
}
document.documentElement.classList.add("live");
