// Every operation of openapi.json with a form that sends its example to this server.
"use strict";

const $ = (id) => document.getElementById(id);

/** Makes an element; strings become text, never markup. */
function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

function resolve(api, schema) {
  return schema?.$ref ? schema.$ref.slice(2).split("/").reduce((part, key) => part[key], api) : schema;
}

function fields(api, schema) {
  const properties = Object.entries(resolve(api, schema)?.properties ?? {});
  if (properties.length === 0) return null;
  const row = ([name, property]) => {
    const what = resolve(api, property);
    const standard = what.default === undefined ? "" : ` Default: ${JSON.stringify(what.default)}.`;
    return el("tr", {}, el("td", {}, el("code", {}, name)), el("td", {}, (what.description ?? "") + standard));
  };
  return el("table", { class: "fields" }, el("tbody", {}, ...properties.map(row)));
}

function operation(api, path, verb, what) {
  const [type, content] = Object.entries(what.requestBody?.content ?? {})[0] ?? [];
  const parameters = (what.parameters ?? []).map((parameter) => ({
    name: parameter.name,
    box: el("input", { value: parameter.example ?? "", "aria-label": parameter.name }),
  }));
  const example = typeof content?.example === "string" ? content.example : JSON.stringify(content?.example, null, 2);
  const body = type ? el("textarea", { rows: String(Math.min(12, example.split("\n").length + 1)), "aria-label": "Body", spellcheck: "false" }, example) : null;
  const output = el("pre", { hidden: "" });
  const send = async () => {
    const address = parameters.reduce((text, { name, box }) => text.replace(`{${name}}`, encodeURIComponent(box.value)), path);
    output.hidden = false;
    output.textContent = "…";
    try {
      const response = await fetch(address, {
        method: verb.toUpperCase(),
        ...(type ? { headers: { "Content-Type": type }, body: body.value } : {}),
      });
      output.textContent = `${response.status} ${response.statusText}\n\n${readable(await response.text())}`;
    } catch (error) {
      output.textContent = String(error);
    }
  };
  return el("details", { class: "operation" },
    el("summary", {}, el("span", { class: "verb" }, verb.toUpperCase()), el("code", {}, path), el("span", { class: "quiet" }, what.summary)),
    el("p", {}, what.description ?? ""),
    content ? fields(api, content.schema) : null,
    el("div", { class: "try" },
      ...parameters.flatMap(({ name, box }) => [el("label", {}, name), box]),
      ...(body ? [el("label", {}, type), body] : []),
      el("button", { type: "button", onclick: send }, "Send"),
      output));
}

function readable(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

async function start() {
  const api = await (await fetch("/openapi.json")).json();
  $("intro").textContent = api.info.description;
  for (const [path, verbs] of Object.entries(api.paths)) {
    for (const [verb, what] of Object.entries(verbs)) $("operations").append(operation(api, path, verb, what));
  }
}

start().catch((error) => { $("intro").textContent = String(error); });
