// The settings of drawing tokens, and the form for them. Their names and limits are those of the HTTP interface.

const inRange = (least, most, whole) => (value) => Number.isFinite(value) && value >= least && value <= most && (!whole || Number.isInteger(value));
const number = (name, label, least, most) => ({ name, label, least, most, step: "any", valid: inRange(least, most, false) });
const whole = (name, label, least, most) => ({ name, label, least, most, step: 1, valid: inRange(least, most, true) });

export const fields = [
  number("temperature", "Temperature", 0, 2),
  number("top_p", "Top p", 0, 1),
  whole("top_k", "Top k", 0, 2 ** 31 - 1),
  number("min_p", "Min p", 0, 1),
  number("repetition_penalty", "Repetition penalty", 0.01, 100),
  number("frequency_penalty", "Frequency penalty", -2, 2),
  number("presence_penalty", "Presence penalty", -2, 2),
  whole("max_tokens", "Most tokens", 1, 2 ** 31 - 1),
  whole("seed", "Seed (empty: drawn)", 0, Number.MAX_SAFE_INTEGER),
];

// build puts an input for each field into a container.
export function build(container) {
  for (const field of fields) {
    const label = document.createElement("label");
    const input = document.createElement("input");
    Object.assign(input, { type: "number", name: field.name, min: field.least, max: field.most, step: field.step });
    label.append(field.label, input);
    container.append(label);
  }
}

export function fill(form, settings) {
  for (const { name } of fields) form.elements[name].value = settings[name] ?? "";
}

// read returns the settings of a form; what is empty is left out.
export function read(form) {
  const settings = {};
  for (const { name } of fields) {
    const { value } = form.elements[name];
    if (value !== "") settings[name] = Number(value);
  }
  return settings;
}
