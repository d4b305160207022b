/** Helpers to build the page from code. */

type Child = Node | string;

export interface Properties {
  readonly class?: string;
  readonly text?: string;
  readonly attributes?: Readonly<Record<string, string>>;
  readonly onClick?: () => void;
}

export function element<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  properties: Properties = {},
  children: readonly Child[] = [],
): HTMLElementTagNameMap[Tag] {
  const node = document.createElement(tag);
  if (properties.class !== undefined) node.className = properties.class;
  if (properties.text !== undefined) node.textContent = properties.text;
  for (const [name, value] of Object.entries(properties.attributes ?? {})) {
    node.setAttribute(name, value);
  }
  if (properties.onClick) node.addEventListener("click", properties.onClick);
  node.append(...children);
  return node;
}

/** Throws when the page lacks the element: index.html and the code belong together. */
export function byId(id: string): HTMLElement {
  const node = document.getElementById(id);
  if (node === null) throw new Error(`the page has no #${id}`);
  return node;
}

/** Sets text only when it differs, so that screen readers do not repeat it. */
export function setText(node: Node, text: string): void {
  const only = node.firstChild;
  if (only instanceof Text && only.nextSibling === null) {
    // Cheaper than another text node.
    if (only.data !== text) only.data = text;
  } else if (node.textContent !== text) node.textContent = text;
}

/** Hides or shows an element, unless it is already so: even the same value costs a style pass. */
export function setHidden(node: HTMLElement, hidden: boolean): void {
  if (node.hidden !== hidden) node.hidden = hidden;
}

/** Sets a data attribute only when it differs: each write makes the browser look at its styles. */
export function setData(node: HTMLElement, name: string, value: string): void {
  if (node.dataset[name] !== value) node.dataset[name] = value;
}
