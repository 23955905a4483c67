//! XML answers: a small tree of elements that are written in the order they were added, as EC2's answers are.

use std::fmt::{Display, Write as _};

/// One element of an answer: either text or children, never both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Element {
    name: &'static str,
    content: Content,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    Text(String),
    Children(Vec<Element>),
}

/// The name under which every member of a list travels in EC2's answers.
const LIST_MEMBER: &str = "item";

impl Element {
    /// Returns an element without children.
    pub(crate) fn new(name: &'static str) -> Element {
        Element {
            name,
            content: Content::Children(Vec::new()),
        }
    }

    /// Returns a nameless element for a list member or for the body of an answer; the list or the router names it.
    pub(crate) fn body() -> Element {
        Element::new(LIST_MEMBER)
    }

    /// Returns an element that holds only text.
    pub(crate) fn leaf(name: &'static str, text: impl Display) -> Element {
        Element {
            name,
            content: Content::Text(text.to_string()),
        }
    }

    /// Adds a child.
    pub(crate) fn child(mut self, child: Element) -> Element {
        if let Content::Children(children) = &mut self.content {
            children.push(child);
        }
        self
    }

    /// Adds `<name>text</name>`.
    pub(crate) fn text(self, name: &'static str, text: impl Display) -> Element {
        self.child(Element::leaf(name, text))
    }

    /// Adds `<name>text</name>` when there is a text.
    pub(crate) fn maybe(self, name: &'static str, text: Option<impl Display>) -> Element {
        match text {
            Some(text) => self.text(name, text),
            None => self,
        }
    }

    /// Adds `<name>true</name>`, the whole answer of most calls that change something.
    pub(crate) fn yes(self) -> Element {
        self.text("return", true)
    }

    /// Adds `<name><item>…</item>…</name>`.
    pub(crate) fn list(self, name: &'static str, items: impl IntoIterator<Item = Element>) -> Element {
        self.list_of(LIST_MEMBER, name, items)
    }

    /// Adds `<name><member>…</member>…</name>`, the lists of IAM.
    pub(crate) fn members(self, name: &'static str, members: impl IntoIterator<Item = Element>) -> Element {
        self.list_of("member", name, members)
    }

    fn list_of(self, member: &'static str, name: &'static str, all: impl IntoIterator<Item = Element>) -> Element {
        let all = all.into_iter().map(|element| Element {
            name: member,
            content: element.content,
        });
        self.child(Element {
            name,
            content: Content::Children(all.collect()),
        })
    }

    /// Removes the members of lists, at any depth, whose own texts `is_hidden` recognizes.
    pub(crate) fn remove_members(&mut self, is_hidden: &impl Fn(&[&str]) -> bool) {
        let Content::Children(children) = &mut self.content else {
            return;
        };
        children.retain(|child| child.name != LIST_MEMBER || !is_hidden(&child.texts().collect::<Vec<_>>()));
        for child in children {
            child.remove_members(is_hidden);
        }
    }

    /// The texts of its children that hold nothing else.
    fn texts(&self) -> impl Iterator<Item = &str> {
        let children: &[Element] = match &self.content {
            Content::Children(children) => children,
            Content::Text(_) => &[],
        };
        children.iter().filter_map(|child| match &child.content {
            Content::Text(text) => Some(text.as_str()),
            Content::Children(_) => None,
        })
    }

    /// Adds the children of another element.
    pub(crate) fn with(mut self, other: Element) -> Element {
        if let (Content::Children(children), Content::Children(more)) = (&mut self.content, other.content) {
            children.extend(more);
        }
        self
    }

    /// Returns the document `<name xmlns="namespace">…</name>` of this element's children.
    pub(crate) fn document(&self, name: &str, namespace: &str) -> String {
        let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        let _ = write!(text, "<{name} xmlns=\"{namespace}\">");
        self.write_content(&mut text);
        let _ = write!(text, "</{name}>");
        text
    }

    fn write(&self, text: &mut String) {
        match &self.content {
            Content::Children(children) if children.is_empty() => {
                let _ = write!(text, "<{}/>", self.name);
            }
            _ => {
                let _ = write!(text, "<{}>", self.name);
                self.write_content(text);
                let _ = write!(text, "</{}>", self.name);
            }
        }
    }

    fn write_content(&self, text: &mut String) {
        match &self.content {
            Content::Text(content) => escape(content, text),
            Content::Children(children) => children.iter().for_each(|child| child.write(text)),
        }
    }
}

/// Appends `content` escaped; characters that XML 1.0 cannot hold at all become U+FFFD.
fn escape(content: &str, text: &mut String) {
    for character in content.chars() {
        match character {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '"' => text.push_str("&quot;"),
            '\r' => text.push_str("&#13;"),
            '\t' | '\n' => text.push(character),
            '\u{FFFE}' | '\u{FFFF}' => text.push('\u{FFFD}'),
            control if control < ' ' => text.push('\u{FFFD}'),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_children_in_order_and_names_list_members() {
        let answer = Element::body()
            .text("a", 1)
            .maybe("absent", None::<&str>)
            .list(
                "groupSet",
                [Element::leaf("x", "one"), Element::body().text("groupId", "sg-1")],
            )
            .list("emptySet", [])
            .yes();
        assert_eq!(
            answer.document("Answer", "urn:x"),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Answer xmlns=\"urn:x\"><a>1</a><groupSet><item>one</item>\
             <item><groupId>sg-1</groupId></item></groupSet><emptySet/><return>true</return></Answer>"
        );
    }

    #[test]
    fn escapes_markup_and_replaces_what_xml_cannot_hold() {
        let mut text = String::new();
        escape("a<b>&\"c\"\u{0}\u{1b}\r\n\té", &mut text);
        assert_eq!(text, "a&lt;b&gt;&amp;&quot;c&quot;\u{FFFD}\u{FFFD}&#13;\n\té");
    }
}
