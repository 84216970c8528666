// Making elements. Text only ever becomes text nodes.

export function element(name, className, ...children) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

export function button(label, act, description) {
  const made = element("button", "", label);
  made.type = "button";
  if (description) made.setAttribute("aria-label", description);
  made.addEventListener("click", act);
  return made;
}
