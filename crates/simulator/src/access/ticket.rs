//! Tickets and CSRF tokens: shaped as PVE's, signed with a key of this world.

use aws_lc_rs::hmac;

use crate::access::State;

/// PVE refuses tickets older than two hours, and such from more than five minutes in the future.
const LIFETIME: i64 = 2 * 3600;
const SKEW: i64 = 300;

impl State {
    /// A ticket for a user, as `POST /access/ticket` answers it.
    pub(crate) fn ticket(&self, user: &str, now: i64) -> String {
        let plain = format!("PVE:{user}:{now:08X}");
        let signature = self.sign(&plain);
        format!("{plain}::{signature}")
    }

    /// The user of a good ticket.
    pub(crate) fn user_of_ticket(&self, ticket: &str, now: i64) -> Option<String> {
        let (plain, signature) = ticket.split_once("::")?;
        let (user, stamp) = plain.strip_prefix("PVE:")?.rsplit_once(':')?;
        let age = now - i64::from_str_radix(stamp, 16).ok()?;
        let good = self.sign(plain) == signature
            && (-SKEW..=LIFETIME).contains(&age)
            && self.is_enabled(user, now);
        good.then(|| user.to_owned())
    }

    /// The token that writes with a ticket must carry as a header.
    pub(crate) fn csrf(&self, user: &str, now: i64) -> String {
        let stamp = format!("{now:08X}");
        let signature = self.sign(&format!("{stamp}:{user}"));
        format!("{stamp}:{signature}")
    }

    pub(crate) fn accepts_csrf(&self, token: &str, user: &str, now: i64) -> bool {
        let Some((stamp, signature)) = token.split_once(':') else {
            return false;
        };
        let Ok(issued) = i64::from_str_radix(stamp, 16) else {
            return false;
        };
        (-SKEW..=LIFETIME).contains(&(now - issued))
            && self.sign(&format!("{stamp}:{user}")) == signature
    }

    fn sign(&self, text: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.ticket_key.as_bytes());
        base64(hmac::sign(&key, text.as_bytes()).as_ref())
    }
}

/// Standard base64 with padding: tickets of a real node hold `+`, `/` and `=`, which clients must get through.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk
            .iter()
            .fold(0_u32, |word, byte| word << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for place in 0..4_usize {
            let digit = usize::try_from(word >> (18 - 6 * place) & 63).unwrap_or_default();
            let letter = ALPHABET.get(digit).copied().unwrap_or(b'A');
            text.push(if place <= chunk.len() {
                char::from(letter)
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_the_standard_one() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn a_ticket_ends_with_its_lifetime_and_with_its_key() {
        let state = State::default();
        let ticket = state.ticket("root@pam", 1000);
        assert_eq!(
            state.user_of_ticket(&ticket, 2000).as_deref(),
            Some("root@pam")
        );
        assert_eq!(state.user_of_ticket(&ticket, 1000 + LIFETIME + 1), None);
        assert_eq!(State::default().user_of_ticket(&ticket, 2000), None);
        assert_eq!(
            state.user_of_ticket(&ticket.replace("root", "toor"), 2000),
            None
        );
    }
}
