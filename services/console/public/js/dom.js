/**
 * The page's only way to make elements. What comes from events is hostile text: it goes in as text, by `textContent`
 * and attributes that don't run anything, never as markup.
 */

export const byId = (id) => document.getElementById(id);

/** An element with attributes (`undefined` is left out) and children, which are elements or text. */
export function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes))
    if (value !== undefined) element.setAttribute(attribute, value);
  element.append(...children);
  return element;
}

/** Changes a text only when it differs, so that a selection in it stays. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Makes the rows of a table those of `items`, in their order. A row stays the same element as long as its key does, so
 * focus and selection stay where they are.
 *
 * @param cells the texts of an item's cells, or `{text, class, title, state}`.
 * @param create makes a new row's cells, when they are more than text; afterwards only texts change.
 */
export function setRows(body, items, { key, cells, create, onNew }) {
  const before = new Map([...body.rows].map((row) => [row.dataset.key, row]));
  const keep = new Set(items.map(key));
  for (const [k, row] of before) if (!keep.has(k)) row.remove();
  items.forEach((item, i) => {
    const k = key(item);
    let row = before.get(k);
    if (!row) {
      row = el('tr');
      row.dataset.key = k;
      onNew?.(row, item);
    }
    for (const [j, cell] of cells(item).entries()) {
      const { text, class: name, title, state } = typeof cell === 'string' ? { text: cell } : cell;
      let td = row.cells[j];
      if (!td) {
        td = row.insertCell();
        if (name) td.className = name;
        const inner = create?.(item, j);
        if (inner) td.append(inner);
      }
      const holder = td.firstElementChild ?? td;
      setText(holder, text);
      if (title !== undefined && td.title !== title) td.title = title;
      if (state !== undefined && td.dataset.state !== state) td.dataset.state = state;
    }
    if (body.rows[i] !== row) body.insertBefore(row, body.rows[i] ?? null);
  });
}

/** A list of name and value pairs. */
export function pairs(entries) {
  return el(
    'dl',
    { class: 'pairs' },
    ...entries.flatMap(([name, value]) => [el('dt', {}, name), el('dd', {}, value)]),
  );
}
