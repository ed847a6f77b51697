/* Checks: judge what a reader chose or typed, and say a hint. Tips: show a word's meaning on a click, hide it on Escape. */
const GROUPED = /\b[1-9]\d{0,2}(,\d{3})+\b/g;  // 61,706; any other comma is a decimal point, as in 0,125

function plain(text) {
  const typed = text.toLowerCase().replace(/[−–]/g, "-").replace(/[\s%]|\u202f|\u00a0/g, "").replace(/×/g, "x");
  return typed.replace(GROUPED, (number) => number.replaceAll(",", "")).replaceAll(",", ".");
}

function isRight(typed, answers, tolerance) {
  return answers.some((answer) => {
    const [one, other] = [plain(typed), plain(answer)];
    const numbers = one !== "" && Number.isFinite(Number(one)) && Number.isFinite(Number(other));
    return numbers ? Math.abs(Number(one) - Number(other)) <= tolerance + 1e-9 : one === other;
  });
}

function judge(form) {
  const { answers, right, tolerance } = form.dataset;
  if (right) {
    const chosen = form.querySelector("input:checked");
    return chosen && { right: chosen.value === right, words: chosen.value };
  }
  const typed = form.querySelector("input[type=text]").value;
  if (!typed.trim()) return null;
  const good = isRight(typed, answers.split("|"), Number(tolerance));
  return { right: good, words: good ? "right" : "wrong" };
}

for (const form of document.querySelectorAll("form.check")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const judged = judge(form);
    form.querySelector(".check-verdict").textContent =
      judged ? (judged.right ? "Right." : "Not yet.") : form.dataset.right ? "Choose an answer first." : "Type an answer first.";
    form.classList.toggle("is-right", Boolean(judged?.right));
    for (const words of form.querySelectorAll(".check-words")) words.hidden = words.dataset.after !== judged?.words;
  });
}

function place(tip) {
  const text = tip.querySelector(".tip-text");
  text.style.marginLeft = "0";
  if (getComputedStyle(text).position === "fixed") return;  // on a small screen, at its foot
  const over = text.getBoundingClientRect().right + 12 - document.documentElement.clientWidth;
  if (over > 0) text.style.marginLeft = `${-over}px`;
}

for (const tip of document.querySelectorAll(".tip")) {
  const word = tip.querySelector(".tip-word");
  const show = () => { tip.classList.add("is-shown"); place(tip); };
  const hide = () => tip.classList.remove("is-shown");
  word.addEventListener("click", show);
  word.addEventListener("focus", show);
  word.addEventListener("blur", hide);
  tip.addEventListener("mouseenter", show);
  tip.addEventListener("mouseleave", () => { if (document.activeElement !== word) hide(); });
}

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const tip of document.querySelectorAll(".tip.is-shown")) tip.classList.remove("is-shown");
});
