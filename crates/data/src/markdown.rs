//! Markdown (CommonMark with tables, footnotes and front matter) to title and plain text.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use crate::html;

/// The title (of the front matter, else the first heading) and the text without marks.
///
/// The heading that serves as the title is left out of the text. Pictures inside links (badges, as a rule) are
/// left out; those elsewhere are represented by their description.
pub fn read(markdown: &str) -> (String, String) {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_YAML_STYLE_METADATA_BLOCKS
        | Options::ENABLE_PLUSES_DELIMITED_METADATA_BLOCKS;
    let mut reader = Reader::default();
    for event in Parser::new_ext(markdown, options) {
        reader.event(event);
    }
    reader.finish()
}

#[derive(Default)]
struct Reader {
    title: Option<String>,
    text: String,
    /// What stands in a heading, front matter or HTML block that is open.
    front: Option<String>,
    heading: Option<String>,
    html: String,
    links: usize,
    badges: usize,
}

impl Reader {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Html(html) => self.html.push_str(&html),
            Event::Text(text) | Event::Code(text) | Event::InlineMath(text) | Event::DisplayMath(text) => {
                self.push(&text);
            }
            Event::SoftBreak => self.push(" "),
            Event::HardBreak => self.push("\n"),
            Event::Rule => self.block(),
            Event::InlineHtml(_) | Event::FootnoteReference(_) | Event::TaskListMarker(_) => {}
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::MetadataBlock(_) => self.front = Some(String::new()),
            Tag::Heading { .. } => {
                self.block();
                self.heading = Some(String::new());
            }
            Tag::Link { .. } => self.links += 1,
            Tag::Image { .. } if self.links > 0 => self.badges += 1,
            Tag::Item | Tag::TableRow | Tag::TableHead => self.line(),
            Tag::Paragraph | Tag::CodeBlock(_) | Tag::Table(_) | Tag::BlockQuote(_) => self.block(),
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::MetadataBlock(_) => self.front_matter(),
            TagEnd::Heading(_) => self.heading(),
            TagEnd::HtmlBlock => {
                let html = std::mem::take(&mut self.html);
                self.block();
                self.push(&html::fragment(&html));
                self.block();
            }
            TagEnd::Link => self.links -= 1,
            TagEnd::Image if self.badges > 0 => self.badges -= 1,
            TagEnd::TableCell => self.push("  "),
            TagEnd::Paragraph
            | TagEnd::CodeBlock
            | TagEnd::Table
            | TagEnd::BlockQuote(_)
            | TagEnd::List(_) => {
                self.block();
            }
            _ => {}
        }
    }

    fn push(&mut self, text: &str) {
        if self.badges > 0 {
            return;
        }
        let target = self
            .front
            .as_mut()
            .or(self.heading.as_mut())
            .unwrap_or(&mut self.text);
        target.push_str(text);
    }

    /// Ends the line that is open.
    fn line(&mut self) {
        let end = self.text.trim_end_matches(' ').len();
        self.text.truncate(end);
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push('\n');
        }
    }

    /// Leaves an empty line, the mark between blocks.
    fn block(&mut self) {
        self.line();
        if !self.text.is_empty() && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
    }

    fn front_matter(&mut self) {
        let front = self.front.take().unwrap_or_default();
        let title = front.lines().find_map(|line| {
            let value = line
                .strip_prefix("title")?
                .trim_start()
                .strip_prefix([':', '='])?;
            let value = value.trim().trim_matches(['"', '\'']).trim();
            (!value.is_empty()).then(|| value.to_owned())
        });
        self.title = title;
    }

    fn heading(&mut self) {
        let heading = self.heading.take().unwrap_or_default();
        let heading = heading.trim();
        if heading.is_empty() {
            return;
        }
        match self.title {
            None => self.title = Some(heading.to_owned()),
            Some(_) => {
                self.text.push_str(heading);
                self.block();
            }
        }
    }

    fn finish(self) -> (String, String) {
        let title = self.title.unwrap_or_default();
        match self.text.trim() {
            // A page of one heading is about that heading.
            "" => (title.clone(), title),
            text => (title, text.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_taken_off_and_the_first_heading_is_the_title() {
        let page = "# The *title*\n\n[![badge](x.svg)](u) One **bold** [link](u) and `code`\nhere.\n\n## Next\n\n\
            - a\n- b\n  - c\n\n```rust\nfn x() {}\n```\n\n|h|i|\n|-|-|\n|1|2|\n\n<div><p>raw <b>html</b></p></div>\n\n![a cat](c.png)\n";
        let (title, text) = read(page);
        assert_eq!(title, "The title");
        let expected =
            "One bold link and code here.\n\nNext\n\na\nb\nc\n\nfn x() {}\n\nh  i\n1  2\n\nraw html\n\na cat";
        assert_eq!(text, expected);
    }

    #[test]
    fn front_matter_names_the_title_and_is_no_text() {
        let (title, text) = read("---\nlayout: post\ntitle: \"From front\"\n---\n# Head\nx\n");
        assert_eq!((title.as_str(), text.as_str()), ("From front", "Head\n\nx"));
        assert_eq!(read("+++\ntitle = 'T'\n+++\nx"), ("T".to_owned(), "x".to_owned()));
        assert_eq!(read("# Only"), ("Only".to_owned(), "Only".to_owned()));
        assert_eq!(read(""), (String::new(), String::new()));
    }
}
