//! A resource pool's id; pools nest up to three levels.

use crate::text::text_name;

text_name!(
    /// A resource pool's id, such as `felhom-scratch` or the nested `lab/tests`.
    PoolId,
    "pool id",
    "one to three parts of letters, digits, `-`, `_`, `.`, separated by `/`",
    is_pool_id
);

fn is_pool_id(text: &str) -> bool {
    let is_part = |part: &str| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        !part.is_empty() && part.chars().all(allowed)
    };
    text.split('/').count() <= 3 && text.split('/').all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nests_three_deep() {
        for good in ["felhom-scratch", "a/b/c", "1.x_y"] {
            assert_eq!(good.parse::<PoolId>().unwrap().as_str(), good);
        }
        for odd in ["", "/a", "a/", "a//b", "a/b/c/d", "a b", "a:b"] {
            assert!(odd.parse::<PoolId>().is_err(), "{odd:?}");
        }
    }
}
