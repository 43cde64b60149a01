//! The schema's regular expressions, which are Perl's.

use regex_automata::dfa::{Automaton, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input};

/// Whether the whole text matches. The error names a pattern that has no meaning outside of Perl.
pub(super) fn matches(pattern: &str, text: &str) -> Result<bool, String> {
    // `(?^:…)` is how Perl prints an expression that stands in another one: with the usual flags.
    let plain = pattern.replace("(?^:", "(?-i:").replace("(?^i:", "(?i:");
    let bytes = syntax::Config::new().unicode(false).utf8(false).octal(true);
    let dfa = dense::Builder::new()
        .syntax(bytes)
        .thompson(thompson::Config::new().utf8(false))
        .build(&format!(r"\A(?:{plain})\z"))
        .map_err(|_| format!("pattern {pattern}"))?;
    let input = Input::new(text).anchored(Anchored::Yes);
    dfa.try_search_fwd(&input)
        .map(|end| end.is_some())
        .map_err(|_| format!("pattern {pattern}"))
}
