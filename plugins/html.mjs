// Converts the HTML of a notebook's output to MyST's own nodes. It knows the elements of tables
// and text; an unknown element is replaced by its contents, and a script is dropped.

const NAMED = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: '\u00a0' };

const decode = (text) =>
  text.replace(/&(?:#(\d+)|#x([\da-f]+)|(\w+));/gi, (whole, decimal, hex, name) => {
    if (name) return NAMED[name] ?? whole;
    return String.fromCodePoint(decimal ? Number(decimal) : parseInt(hex, 16));
  });

function readAttributes(source) {
  const pairs = source.matchAll(/([\w-]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"']+))/g);
  return Object.fromEntries(
    Array.from(pairs, ([, name, ...value]) => [name, decode(value.find((v) => v !== undefined))]),
  );
}

/** `text-align: left; …` as `{textAlign: 'left', …}`. */
const readStyle = (source = '') =>
  Object.fromEntries(
    source.split(';').flatMap((rule) => {
      const [, name, value] = /^\s*([\w-]+)\s*:\s*(.+?)\s*$/.exec(rule) ?? [];
      return name ? [[name.replace(/-(\w)/g, (_, letter) => letter.toUpperCase()), value]] : [];
    }),
  );

const EMPTY = new Set(['br', 'hr', 'img', 'input', 'col', 'wbr']);
// Between the children of these, space is only the layout of the source.
const LAYOUT = new Set(['', 'table', 'thead', 'tbody', 'tfoot', 'tr', 'ul', 'ol', 'div']);

const KINDS = {
  strong: 'strong',
  b: 'strong',
  em: 'emphasis',
  i: 'emphasis',
  sub: 'subscript',
  sup: 'superscript',
  li: 'listItem',
  tr: 'tableRow',
};

/** The nodes of an element whose children are `children`. */
function build(tag, { style: source, title, href, colspan, rowspan }, children) {
  const style = readStyle(source);
  if (tag in KINDS) return [{ type: KINDS[tag], children }];
  switch (tag) {
    case 'ol':
    case 'ul':
      return [{ type: 'list', ordered: tag === 'ol', spread: false, children }];
    case 'th':
    case 'td': {
      const spans = {
        colspan: Number(colspan) || undefined,
        rowspan: Number(rowspan) || undefined,
      };
      const header = tag === 'th' || undefined;
      return [{ type: 'tableCell', header, ...spans, children }]; // aligned by what it holds
    }
    case 'caption':
      return [{ type: 'div', class: 'note', children: [{ type: 'paragraph', children }] }];
    case 'table': {
      const rows = children.filter(({ type }) => type === 'tableRow');
      const notes = children.filter(({ class: name }) => name === 'note');
      return [{ type: 'table', children: rows }, ...notes];
    }
    case 'p':
      return [source ? { type: 'div', style, children } : { type: 'paragraph', children }];
    case 'div':
    case 'pre':
      return [{ type: 'div', style: tag === 'pre' ? { whiteSpace: 'pre' } : style, children }];
    case 'span':
      return [{ type: 'span', style, title, children }];
    case 'small':
      return [{ type: 'span', class: 'small', children }];
    case 'a':
      return href ? [{ type: 'link', url: href, children }] : children;
    case 'br':
      return [{ type: 'break' }];
    default:
      return children;
  }
}

/** The nodes of a piece of HTML. */
export function parseHtml(html) {
  const open = [{ tag: '', children: [] }];
  const close = () => {
    const { tag, attributes, children } = open.pop();
    open.at(-1).children.push(...build(tag, attributes, children));
  };
  const source = html.replace(/<(style|script)\b[^]*?<\/\1>|<!--[^]*?-->/gi, '');
  const tokens = /<(\/?)([a-z]\w*)((?:"[^"]*"|'[^']*'|[^>])*)>|([^<]+|<)/gi;
  for (const [, slash, name, attributes, words] of source.matchAll(tokens)) {
    const { tag: parent, children } = open.at(-1);
    const tag = name?.toLowerCase();
    if (words !== undefined) {
      if (words.trim() || !LAYOUT.has(parent))
        children.push({ type: 'text', value: decode(words) });
    } else if (slash) {
      if (open.some((element) => element.tag === tag)) {
        while (open.at(-1).tag !== tag) close();
        close();
      }
    } else {
      open.push({ tag, attributes: readAttributes(attributes), children: [] });
      if (EMPTY.has(tag) || attributes.endsWith('/')) close();
    }
  }
  while (open.length > 1) close();
  return open[0].children;
}
