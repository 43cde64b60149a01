//! Whether a secret shows in a text, whole or in part.

/// A stretch of a secret this long is no chance.
const STRETCH: usize = 12;

/// Whether the text holds a stretch of the secret.
pub(crate) fn shows(text: &str, secret: &str) -> bool {
    let starts = 0..secret.len().saturating_sub(STRETCH - 1);
    let mut stretches = starts.filter_map(|start| secret.get(start..start + STRETCH));
    stretches.any(|stretch| text.contains(stretch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_third_of_a_secret_is_enough() {
        let secret = "0f0f0f0f-5ec2-4e75-8bad-c0ffee15bad1";
        assert!(shows("it is 0f0f0f0f-5ec, nearly", secret));
        assert!(shows("c0ffee15bad1", secret));
        assert!(!shows("[redacted] 0f0f0f0f c0ffee", secret));
    }
}
