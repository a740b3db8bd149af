//! HTML to title and visible text.

use scraper::{Html, Node};

/// Elements whose content nobody reads as the text of the page.
const HIDDEN: [&str; 13] = [
    "script", "style", "nav", "noscript", "template", "head", "svg", "iframe", "object", "canvas", "select",
    "textarea", "button",
];

/// Elements that begin and end a line of their own.
const BLOCKS: [&str; 34] = [
    "address",
    "article",
    "aside",
    "blockquote",
    "br",
    "caption",
    "dd",
    "details",
    "div",
    "dl",
    "dt",
    "figcaption",
    "figure",
    "footer",
    "form",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hr",
    "li",
    "main",
    "ol",
    "p",
    "pre",
    "section",
    "summary",
    "table",
    "td",
    "tr",
    "ul",
];

/// The title (of `title`, else of the first `h1`) and the visible text: blocks on lines of their own, white
/// space collapsed except in `pre`.
pub fn read(html: &str) -> (String, String) {
    let page = Html::parse_document(html);
    let title = first(&page, "title")
        .or_else(|| first(&page, "h1"))
        .unwrap_or_default();
    (title, visible(&page))
}

/// The visible text of a piece of HTML.
pub(crate) fn fragment(html: &str) -> String {
    visible(&Html::parse_fragment(html))
}

fn first(page: &Html, name: &str) -> Option<String> {
    let element = page.tree.nodes().find(|node| {
        node.value()
            .as_element()
            .is_some_and(|element| element.name() == name)
    })?;
    let text: String = element
        .descendants()
        .filter_map(|node| node.value().as_text().map(|t| &**t))
        .collect();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    (!text.is_empty()).then_some(text)
}

fn visible(page: &Html) -> String {
    use ego_tree::iter::Edge;
    let mut out = Flow::default();
    let (mut hidden, mut preformatted) = (0_usize, 0_usize);
    for edge in page.tree.root().traverse() {
        let (node, opens) = match edge {
            Edge::Open(node) => (node, true),
            Edge::Close(node) => (node, false),
        };
        let step = |count: &mut usize| if opens { *count += 1 } else { *count -= 1 };
        match node.value() {
            Node::Element(element) => {
                if HIDDEN.contains(&element.name()) || element.attr("hidden").is_some() {
                    step(&mut hidden);
                }
                if element.name() == "pre" {
                    step(&mut preformatted);
                }
                if hidden == 0 && BLOCKS.contains(&element.name()) {
                    out.line();
                }
            }
            Node::Text(text) if opens && hidden == 0 => out.text(text, preformatted > 0),
            _ => {}
        }
    }
    out.finish()
}

/// Text that is put together of words and lines.
#[derive(Default)]
struct Flow {
    text: String,
}

impl Flow {
    fn line(&mut self) {
        let end = self.text.trim_end_matches(' ').len();
        self.text.truncate(end);
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push('\n');
        }
    }

    fn text(&mut self, text: &str, preformatted: bool) {
        if preformatted {
            self.text.push_str(text);
            return;
        }
        for character in text.chars() {
            if !character.is_whitespace() {
                self.text.push(character);
            } else if !self.text.is_empty() && !self.text.ends_with([' ', '\n']) {
                self.text.push(' ');
            }
        }
    }

    fn finish(mut self) -> String {
        let end = self.text.trim_end().len();
        self.text.truncate(end);
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_becomes_its_title_and_its_visible_text() {
        let page = "<!doctype html><html><head><title> A\n page </title><style>p{}</style></head><body>\
            <nav>Home</nav><script>var x = '<p>no</p>';</script><h1>Head</h1><p>One <b>bold</b>\n word.<p>Two<br>lines\
            <pre>a\n  b</pre><p hidden>secret</p><table><tr><td>1<td>2</table>&amp; end";
        let (title, text) = read(page);
        assert_eq!(title, "A page");
        assert_eq!(text, "Head\nOne bold word.\nTwo\nlines\na\n  b\n1\n2\n& end");
    }

    #[test]
    fn the_first_heading_stands_in_for_a_title() {
        assert_eq!(read("<h1>Head <i>line</i></h1><p>x").0, "Head line");
        assert_eq!(read("").1, "");
    }

    #[test]
    fn deep_nesting_does_not_overflow_the_stack() {
        let deep = "<b>".repeat(20_000) + "x";
        assert_eq!(read(&deep).1, "x");
    }
}
