//! A long list as it comes in: cut into its elements, so that no more than one of them is in memory.

use serde::de::Error as _;

/// The longest element of a list. A backup with its files, notes' first line and verification has
/// about a kilobyte.
const LONGEST: usize = 256 << 10;

/// The longest name of a key beside the list.
const LONGEST_KEY: usize = 64;

/// Cuts `{"data":[…], …}` into what stands between the brackets. It only looks for where an element
/// ends; whether it is one, whoever reads it finds out.
#[derive(Default)]
pub(crate) struct Elements {
    place: Place,
    /// Open braces and brackets, the outermost object's included.
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// The last text directly within the outermost object.
    key: Vec<u8>,
    element: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before the list, or `data` has not come yet.
    #[default]
    Before,
    /// Between the brackets.
    Within,
    /// Behind the list.
    Behind,
}

impl Elements {
    /// Takes the next piece of the answer, wherever it was cut, and hands on what is complete.
    pub(crate) fn feed<E: From<serde_json::Error>>(
        &mut self,
        piece: &[u8],
        each: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut rest = piece;
        while let Some((first, behind)) = rest.split_first() {
            let run = self.run(rest);
            if let Some((run, behind)) = rest
                .split_at_checked(run)
                .filter(|(run, _)| !run.is_empty())
            {
                self.keep(run)?;
                rest = behind;
            } else {
                self.take(*first, each)?;
                rest = behind;
            }
        }
        Ok(())
    }

    /// How many bytes belong to the element and change nothing else.
    fn run(&self, bytes: &[u8]) -> usize {
        if self.place != Place::Within || self.escaped {
            return 0;
        }
        let ends = |byte: &u8| match byte {
            b'"' => true,
            b'\\' => self.in_string,
            b'{' | b'}' | b'[' | b']' | b',' | b' ' | b'\t' | b'\r' | b'\n' => !self.in_string,
            _ => false,
        };
        bytes.iter().position(ends).unwrap_or(bytes.len())
    }

    /// Whether the list and everything around it has come to its end.
    pub(crate) fn finish(&self) -> Result<(), serde_json::Error> {
        match self.place {
            Place::Behind if self.depth == 0 => Ok(()),
            Place::Before if self.depth == 0 && self.key.is_empty() => {
                Err(serde_json::Error::custom("no object"))
            }
            Place::Before => Err(serde_json::Error::custom("no list in `data`")),
            Place::Within | Place::Behind => Err(serde_json::Error::custom("the list has no end")),
        }
    }

    fn take<E: From<serde_json::Error>>(
        &mut self,
        byte: u8,
        each: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.in_string {
            self.take_of_string(byte)?;
            return Ok(());
        }
        match byte {
            b'"' => {
                self.in_string = true;
                if self.depth == 1 {
                    self.key.clear();
                }
                self.keep(&[byte])?;
            }
            b'{' | b'[' => self.open(byte)?,
            b'}' | b']' => {
                let ends = self.place == Place::Within && self.depth == 2;
                if ends {
                    self.end_of_element(each)?;
                    self.place = Place::Behind;
                }
                self.depth = self.depth.checked_sub(1).ok_or_else(unbalanced)?;
                if !ends {
                    self.keep(&[byte])?;
                }
            }
            b',' if self.place == Place::Within && self.depth == 2 => {
                if self.element.is_empty() {
                    return Err(serde_json::Error::custom("an element is missing").into());
                }
                self.end_of_element(each)?;
            }
            byte if byte.is_ascii_whitespace() => {}
            _ if self.depth == 0 => return Err(unbalanced().into()),
            byte => self.keep(&[byte])?,
        }
        Ok(())
    }

    fn open(&mut self, byte: u8) -> Result<(), serde_json::Error> {
        if self.depth == 0 && (byte != b'{' || self.place != Place::Before) {
            return Err(unbalanced());
        }
        if self.depth == 1 && self.key == b"data" {
            if byte != b'[' || self.place != Place::Before {
                return Err(serde_json::Error::custom("`data` is not one list"));
            }
            self.place = Place::Within;
            self.depth += 1;
            return Ok(());
        }
        self.depth += 1;
        self.keep(&[byte])
    }

    fn take_of_string(&mut self, byte: u8) -> Result<(), serde_json::Error> {
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' => self.escaped = true,
            b'"' => self.in_string = false,
            _ => {}
        }
        if self.depth == 1 && self.in_string && self.key.len() < LONGEST_KEY {
            self.key.push(byte);
        }
        self.keep(&[byte])
    }

    /// Only what belongs to an element is kept.
    fn keep(&mut self, bytes: &[u8]) -> Result<(), serde_json::Error> {
        if self.place != Place::Within {
            return Ok(());
        }
        if self.element.len() + bytes.len() > LONGEST {
            return Err(serde_json::Error::custom(format_args!(
                "an element is longer than {LONGEST} bytes"
            )));
        }
        self.element.extend_from_slice(bytes);
        Ok(())
    }

    fn end_of_element<E>(&mut self, each: &mut dyn FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        if !self.element.is_empty() {
            each(&self.element)?;
            self.element.clear();
        }
        Ok(())
    }
}

fn unbalanced() -> serde_json::Error {
    serde_json::Error::custom("not one object")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn cut(text: &str, size: usize) -> Result<Vec<Value>, serde_json::Error> {
        let (mut elements, mut list) = (Elements::default(), Vec::new());
        for piece in text.as_bytes().chunks(size) {
            elements.feed::<serde_json::Error>(piece, &mut |element| {
                list.push(serde_json::from_slice(element)?);
                Ok(())
            })?;
        }
        elements.finish().map(|()| list)
    }

    #[test]
    fn elements_come_whole_wherever_the_pieces_end() {
        let text = r#"{"total":3,"x":{"data":[9]},"y":[[1]], "data" : [ {"a":"],\"}\\"} , [1,[2]],null,"x" ], "digest":"ab"} "#;
        for size in 1..text.len() {
            let list = cut(text, size).unwrap();
            assert_eq!(
                Value::from(list),
                serde_json::json!([{"a": "],\"}\\"}, [1, [2]], null, "x"])
            );
        }
        assert!(cut(r#"{"data":[]}"#, 3).unwrap().is_empty());
    }

    #[test]
    fn what_is_no_list_or_has_no_end_is_an_error() {
        for odd in [
            "",
            "{}",
            "[]",
            "null",
            r#"{"data":null}"#,
            r#"{"data":{}}"#,
            r#"{"data":[1]"#,
            r#"{"data":[1"#,
            r#"{"data":[1,,2]}"#,
            r#"{"data":[1]}x"#,
            r#"{"data":[1]}{"#,
            r#"{"data":[1],"data":[2]}"#,
            r#"{"data":[{]}"#,
            r#"{"data":["a]}"#,
            "}",
            "x",
        ] {
            assert!(cut(odd, 4).is_err(), "{odd}");
        }
    }

    #[test]
    fn an_element_without_an_end_fills_no_memory() {
        let text = format!(r#"{{"data":["{}"]}}"#, "x".repeat(LONGEST));
        assert!(cut(&text, 4096).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_odd(text in "[{}\\[\\],:\"a\\\\ d]{0,60}|\\{\"data\":\\[[{}\\[\\],\"1]{0,20}\\]\\}") {
            drop(cut(&text, 7));
        }
    }
}
