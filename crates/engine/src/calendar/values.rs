//! One place of a calendar event: which hours, which minutes.

/// `5`, `5..9`, `5/2`, `5..9/2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) first: u16,
    pub(super) last: Option<u16>,
    pub(super) step: Option<u16>,
}

impl Item {
    pub(super) const fn single(value: u16) -> Self {
        Self {
            first: value,
            last: None,
            step: None,
        }
    }

    fn has(self, value: u16) -> bool {
        let Some(beyond) = value.checked_sub(self.first) else {
            return false;
        };
        let within = self.last.is_none_or(|last| value <= last);
        match (self.last, self.step) {
            (None, None) => beyond == 0,
            (Some(_), None) => within,
            (_, Some(step)) => within && beyond.is_multiple_of(step),
        }
    }

    fn text(self, width: usize) -> String {
        let mut text = format!("{:0width$}", self.first);
        if let Some(last) = self.last {
            text = format!("{text}..{last:0width$}");
        }
        if let Some(step) = self.step {
            text.push('/');
            text.push_str(&step.to_string());
        }
        text
    }
}

/// Some values, or every one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Values(pub(super) Vec<Item>);

impl Values {
    pub(super) fn any() -> Self {
        Self(Vec::new())
    }

    pub(super) fn single(value: u16) -> Self {
        Self(vec![Item::single(value)])
    }

    pub(super) fn is_zero(&self) -> bool {
        *self == Self::single(0)
    }

    pub(super) fn has(&self, value: u16) -> bool {
        self.0.is_empty() || self.0.iter().any(|item| item.has(value))
    }

    pub(super) fn text(&self, width: usize) -> String {
        if self.0.is_empty() {
            return "*".to_owned();
        }
        let items: Vec<String> = self.0.iter().map(|item| item.text(width)).collect();
        items.join(",")
    }
}
