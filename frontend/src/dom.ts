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

/**
 * Gives a parent these children. One with the key of an earlier child becomes that child again, in
 * which only what differs is changed: the focus and a press on it last. Listeners are not replaced.
 */
export function keepChildren(
  parent: Element,
  wanted: readonly Element[],
  keyOf: (child: Element) => string,
): void {
  const held = new Map([...parent.children].map((child) => [keyOf(child), child]));
  const children = wanted.map((child) => {
    const key = keyOf(child);
    const old = held.get(key);
    if (old === undefined) return child;
    held.delete(key);
    adopt(old, child);
    return old;
  });
  for (const left of held.values()) left.remove();
  children.forEach((child, index) => {
    const there = parent.children[index] ?? null;
    if (there !== child) parent.insertBefore(child, there);
  });
}

/** Makes an element like another one, part by part: a press on a part lasts while the part stays. */
function adopt(old: Element, like: Element): void {
  if (old.isEqualNode(like)) return;
  for (const { name } of [...old.attributes]) {
    if (!like.hasAttribute(name)) old.removeAttribute(name);
  }
  for (const { name, value } of like.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  const held = [...old.childNodes];
  const wanted = [...like.childNodes];
  wanted.forEach((child, index) => {
    const there = held[index];
    if (there === undefined) old.append(child);
    else if (there instanceof Text && child instanceof Text) there.data = child.data;
    else if (isAlike(there, child)) adopt(there as Element, child as Element);
    else there.replaceWith(child);
  });
  for (const left of held.slice(wanted.length)) left.remove();
}

function isAlike(left: Node, right: Node): boolean {
  return left instanceof Element && right instanceof Element && left.tagName === right.tagName;
}
