//! Objects: members kept in canonical order.
//!
//! Invariant: the members are sorted by the UTF-16 code units of their keys and no key occurs twice, so that
//! writing the canonical form is one walk (guarded by `members_stand_in_utf_16_order`).

use std::cmp::Ordering;

use super::value::Json;

/// The members of a JSON object, in the order RFC 8785 writes them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object {
    members: Vec<(String, Json)>,
}

impl Object {
    /// An object without members.
    pub fn new() -> Object {
        Object::default()
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&Json> {
        let index = self.position(key).ok()?;
        self.members.get(index).map(|(_, value)| value)
    }

    /// The value of `key`, to change it.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Json> {
        let index = self.position(key).ok()?;
        self.members.get_mut(index).map(|(_, value)| value)
    }

    /// Whether there is a member `key`.
    pub fn contains_key(&self, key: &str) -> bool {
        self.position(key).is_ok()
    }

    /// Sets the member `key` and returns the value it replaces.
    pub fn insert(&mut self, key: impl Into<String>, value: impl Into<Json>) -> Option<Json> {
        let key = key.into();
        let value = value.into();
        match self.position(&key) {
            Ok(index) => self.members.get_mut(index).map(|(_, old)| std::mem::replace(old, value)),
            Err(index) => {
                self.members.insert(index, (key, value));
                None
            }
        }
    }

    /// Takes the member `key` out.
    pub fn remove(&mut self, key: &str) -> Option<Json> {
        let index = self.position(key).ok()?;
        Some(self.members.remove(index).1)
    }

    /// The members in canonical order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Json)> + DoubleEndedIterator {
        self.members.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// The keys in canonical order.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &str> + DoubleEndedIterator {
        self.members.iter().map(|(key, _)| key.as_str())
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Where `key` stands, or where it would.
    pub(super) fn position(&self, key: &str) -> Result<usize, usize> {
        self.members.binary_search_by(|(other, _)| compare_keys(other, key))
    }

    /// An object of members as they were read, or the first key that occurs twice.
    ///
    /// Sorts once: a sender chooses the order, and inserting one by one would let them choose quadratic work.
    pub(super) fn from_members(mut members: Vec<(String, Json)>) -> Result<Object, String> {
        let sorted = members
            .iter()
            .zip(members.iter().skip(1))
            .all(|((left, _), (right, _))| compare_keys(left, right) == Ordering::Less);
        if !sorted {
            members.sort_by(|(left, _), (right, _)| compare_keys(left, right));
            let twice = members.iter().zip(members.iter().skip(1)).find(|(left, right)| left.0 == right.0);
            if let Some(((key, _), _)) = twice {
                return Err(key.clone());
            }
        }
        Ok(Object { members })
    }
}

/// Orders keys by their UTF-16 code units, without making any.
///
/// UTF-8 sorts by code point; UTF-16 differs only in that U+E000..=U+FFFF (lead bytes EE and EF) come after
/// the supplementary planes (lead bytes F0..=F4). Where two texts first differ, either both bytes are lead
/// bytes, or the lead bytes were equal: so lifting EE and EF above F4 is all there is to do.
fn compare_keys(left: &str, right: &str) -> Ordering {
    let differing = left.bytes().zip(right.bytes()).find(|(left, right)| left != right);
    match differing {
        Some((left, right)) => utf_16_rank(left).cmp(&utf_16_rank(right)),
        None => left.len().cmp(&right.len()),
    }
}

fn utf_16_rank(byte: u8) -> u8 {
    match byte {
        0xEE | 0xEF => byte + 0x10,
        _ => byte,
    }
}

impl<K: Into<String>, V: Into<Json>> FromIterator<(K, V)> for Object {
    /// Later members replace earlier ones of the same key.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(members: I) -> Object {
        let mut members: Vec<(String, Json)> =
            members.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        members.sort_by(|(left, _), (right, _)| compare_keys(left, right));
        members.dedup_by(|later, earlier| {
            let same = later.0 == earlier.0;
            if same {
                std::mem::swap(later, earlier);
            }
            same
        });
        Object { members }
    }
}

impl IntoIterator for Object {
    type Item = (String, Json);
    type IntoIter = std::vec::IntoIter<(String, Json)>;

    fn into_iter(self) -> Self::IntoIter {
        self.members.into_iter()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    const HARD_KEYS: [&str; 14] = [
        "",
        "\u{1}",
        "A",
        "a",
        "aa",
        "\u{7f}",
        "\u{80}",
        "é",
        "\u{7ff}",
        "\u{d7ff}",
        "\u{e000}",
        "\u{ffff}",
        "\u{10000}",
        "\u{10ffff}",
    ];

    #[test]
    fn members_stand_in_utf_16_order() {
        for left in HARD_KEYS {
            for right in HARD_KEYS {
                for prefix in ["", "x", "\u{ffff}", "\u{10000}"] {
                    let (left, right) = (format!("{prefix}{left}"), format!("{prefix}{right}"));
                    let expected = left.encode_utf16().cmp(right.encode_utf16());
                    assert_eq!(compare_keys(&left, &right), expected, "{left:?} {right:?}");
                }
            }
        }
    }

    #[test]
    fn the_last_value_of_a_key_wins_when_we_build() {
        let object: Object = [("b", 1), ("a", 2), ("b", 3), ("b", 4)].into_iter().collect();
        assert_eq!(object.keys().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(object.get("b"), Some(&Json::from(4)));
    }

    #[test]
    fn inserting_and_removing_keep_the_order() {
        let mut object = Object::new();
        for key in HARD_KEYS.iter().rev() {
            assert_eq!(object.insert(*key, 1), None);
        }
        assert_eq!(object.insert("a", 2), Some(Json::from(1)));
        assert_eq!(object.len(), HARD_KEYS.len());
        assert_eq!(object.remove("a"), Some(Json::from(2)));
        assert_eq!(object.remove("a"), None);
        let keys: Vec<&str> = object.keys().collect();
        assert!(keys.is_sorted_by(|left, right| compare_keys(left, right) == Ordering::Less));
    }
}
