//! Patterns: regular expressions in RE2 style, which match in linear time.
//!
//! Linear in the text times the size of the pattern, and `((a{9}){9}){9}` is larger than it looks. So the
//! size is measured here, from the text of the pattern alone: it decides about a verdict, and must not depend
//! on how a version of the engine, or a platform, lays out its states.

use regex_lite::Regex;

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    regex: Regex,
    size: u64,
}

impl Pattern {
    /// The longest pattern, in bytes.
    const MOST_BYTES: usize = 512;
    /// The largest pattern, in states once its repetitions are written out.
    const MOST_STATES: u64 = 1024;

    /// Compiles a pattern, or says what is wrong with it.
    pub(super) fn compile(source: &str) -> Result<Pattern, String> {
        if source.len() > Self::MOST_BYTES {
            return Err(format!("the pattern has {} bytes, more than {}", source.len(), Self::MOST_BYTES));
        }
        let size = states(source);
        if size > Self::MOST_STATES {
            return Err("the pattern repeats too much; use minLength, maxLength or simpler repetitions".to_owned());
        }
        let regex = Regex::new(source)
            .map_err(|error| format!("the pattern is not a regular expression in RE2 style: {error}"))?;
        Ok(Pattern { regex, size })
    }

    /// Whether the pattern occurs in the text.
    pub(super) fn matches(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// What looking for the pattern in the text costs.
    pub(super) fn work(&self, text: &str) -> u64 {
        1 + (text.len() as u64).saturating_mul(1 + self.size / 8) / 4
    }

    /// The pattern as it was written.
    pub(super) fn source(&self) -> &str {
        self.regex.as_str()
    }
}

/// About how many states a pattern has: one for each atom, times its repetitions.
///
/// It need not understand every detail: the engine refuses what is wrong, and errs to a few states too many.
fn states(source: &str) -> u64 {
    // For each open group: the states before its last atom, and those of its last atom.
    let mut groups: Vec<(u64, u64)> = vec![(0, 0)];
    let mut characters = source.chars().peekable();
    while let Some(character) = characters.next() {
        let (mut done, mut last) = groups.pop().unwrap_or_default();
        match character {
            '(' => {
                groups.push((done, last));
                groups.push((0, 0));
                continue;
            }
            ')' => {
                let inner = done.saturating_add(last).saturating_add(1);
                let (outer_done, outer_last) = groups.pop().unwrap_or_default();
                (done, last) = (outer_done.saturating_add(outer_last), inner);
            }
            '{' => {
                let counts: String = std::iter::from_fn(|| characters.next_if(|next| *next != '}')).collect();
                characters.next();
                let largest = counts.split(',').filter_map(|count| count.trim().parse::<u64>().ok()).max();
                last = last.saturating_add(1).saturating_mul(largest.unwrap_or(1).max(1));
            }
            '*' | '+' | '?' => last = last.saturating_add(1),
            '[' => {
                let mut inside = 0;
                while let Some(next) = characters.next_if(|next| *next != ']' || inside == 0) {
                    inside += 1;
                    if next == '\\' {
                        characters.next();
                    }
                }
                characters.next();
                done = done.saturating_add(last);
                last = 1 + inside / 4;
            }
            other => {
                if other == '\\' {
                    characters.next();
                }
                done = done.saturating_add(last);
                last = 1;
            }
        }
        groups.push((done, last));
    }
    groups.iter().fold(0, |sum, (done, last)| sum.saturating_add(*done).saturating_add(*last))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_multiply() {
        for (source, expected) in [
            ("abc", 3),
            ("^[0-9]{4}-[0-9]{2}$", 1 + 8 + 1 + 4 + 1),
            ("(ab){3}", 12),
            ("((a{9}){9}){9}", 1638),
            (r"\{9\}", 3),
            ("[{9}]{2}", 4),
            ("a{2,5}", 10),
            ("a*b+", 4),
        ] {
            assert_eq!(states(source), expected, "{source}");
        }
    }

    #[test]
    fn a_pattern_of_useful_size_is_accepted() {
        for source in [r"^-?(0|[1-9][0-9]{0,14})\.[0-9]{2}$", "^[a-z][a-z0-9_]{0,63}$", "^[0-9a-f]{64}$", r"^\d+$", ""]
        {
            assert!(Pattern::compile(source).is_ok(), "{source}");
        }
        assert!(Pattern::compile("^a+$").unwrap().matches("aaa"));
        assert!(!Pattern::compile("^a+$").unwrap().matches("aaa\n"));
    }

    #[test]
    fn a_pattern_that_would_cost_too_much_is_refused() {
        for source in
            ["((a{99}){99}){99}", "a{5000}", "(((((((a{2}){2}){9}){9}){9}){9}){9}){9}", "a{18446744073709551615}{9}"]
        {
            assert!(Pattern::compile(source).is_err(), "{source}");
        }
        assert!(Pattern::compile(&"a".repeat(513)).is_err());
    }

    #[test]
    fn what_re2_does_not_know_is_refused() {
        for source in ["(?=a)", r"(a)\1", "[", "(", ")", "*", r"\p{Letter}"] {
            assert!(Pattern::compile(source).is_err(), "{source}");
        }
    }
}
