//! Templates and patterns of namespaces: `user:{id}:profile` for people, `user:*:profile` for servers.

use keysweep_model::printable::Printable;

use crate::recognize::Classes;
use crate::tree::{Group, Holes, Node};

/// The text of a beginning of names, in both forms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Template {
    /// With a placeholder for each variable. A brace of a name is doubled.
    pub(crate) name: String,
    /// As a pattern.
    pub(crate) pattern: Vec<u8>,
}

impl Template {
    /// This text, and then the part of a child.
    pub(crate) fn then(&self, group: &Group, word: Option<&[u8]>, child: &Node) -> Self {
        let mut next = self.clone();
        let holes = child.holes.as_deref();
        match (holes.and_then(|holes| holes.only.as_deref()), word) {
            // A variable that was always the same is a word.
            (Some(only), _) => next.literal(only),
            (None, Some(word)) => next.pattern_of(word, holes),
            (None, None) => next.hole(holes.and_then(|holes| holes.classes.first()).copied()),
        }
        next.literal(&group.separators);
        next
    }

    /// This text, and then anything.
    pub(crate) fn and_more(&self) -> Self {
        let mut next = self.clone();
        next.name.push('*');
        next.pattern.push(b'*');
        next
    }

    fn hole(&mut self, class: Option<Classes>) {
        self.name.push('{');
        self.name.push_str(class.unwrap_or(Classes::WORD).name());
        self.name.push('}');
        self.pattern.push(b'*');
    }

    /// Appends bytes of names.
    fn literal(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if b"*?[\\".contains(byte) {
                self.pattern.push(b'\\');
            }
            self.pattern.push(*byte);
        }
        let text = Printable(bytes).to_string();
        self.name.push_str(&text.replace('{', "{{").replace('}', "}}"));
    }

    /// Appends a word that is written as a pattern.
    fn pattern_of(&mut self, word: &[u8], holes: Option<&Holes>) {
        let mut classes = holes.into_iter().flat_map(|holes| &holes.classes).copied();
        let (mut rest, mut last) = (word, None);
        while let [byte, after @ ..] = rest {
            match (byte, after) {
                (b'*', _) => {
                    // The last class stands for all further variables.
                    last = classes.next().or(last);
                    self.hole(last);
                    rest = after;
                }
                (b'\\', [escaped, after @ ..]) => {
                    self.literal(&[*escaped]);
                    rest = after;
                }
                _ => {
                    let length = rest
                        .iter()
                        .position(|byte| matches!(byte, b'*' | b'\\'))
                        .unwrap_or(rest.len())
                        .max(1);
                    self.literal(&rest[..length]);
                    rest = &rest[length..];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_patterns() {
        let check = |word: &[u8], classes: &[Classes], separators: &[u8], name: &str, pattern: &str| {
            let holes = Holes { classes: classes.to_vec(), only: None };
            let child = Node { holes: Some(Box::new(holes)), ..Node::default() };
            let group = Group { separators: separators.into(), ..Group::default() };
            let Template { name: found, pattern: bytes } =
                Template::default().then(&group, Some(word), &child);
            assert_eq!((found.as_str(), str::from_utf8(&bytes).unwrap()), (name, pattern));
        };
        check(b"user", &[], b":", "user:", "user:");
        check(b"cart-*", &[Classes::HEX], b"", "cart-{hex}", "cart-*");
        check(b"*-x-*-*", &[Classes::DATE, Classes::NUMBER], b":", "{date}-x-{id}-{id}:", "*-x-*-*:");
        check(br"a\*b\\", &[], b"", r"a*b\\", r"a\*b\\");
        check(b"bull", &[], b":{", "bull:{{", "bull:{");
        check("ключ\u{1b}".as_bytes(), &[], b"", "ключ\\x1b", "ключ\u{1b}");
        let group = Group { separators: (*b"}:").into(), ..Group::default() };
        let only = Holes { classes: vec![Classes::NUMBER], only: Some((*b"42").into()) };
        let child = Node { holes: Some(Box::new(only)), ..Node::default() };
        let begun = Template { name: "{{".to_owned(), pattern: b"{".to_vec() };
        assert_eq!(
            begun.then(&group, None, &child),
            Template { name: "{{42}}:".to_owned(), pattern: b"{42}:".to_vec() }
        );
    }
}
