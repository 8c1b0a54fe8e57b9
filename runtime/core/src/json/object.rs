//! Objects: members kept in canonical order.
//!
//! Invariant: the members are sorted by the UTF-16 code units of their keys and no key occurs twice, so that
//! writing the canonical form is one walk (guarded by `members_stand_in_utf_16_order`).
//!
//! Clones share their members: many members lie in pieces, and a change copies the one piece that it is in. So a
//! section of megabytes is changed at one place without a copy of the rest.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use super::value::Json;

/// Most members of a piece; a piece that grows beyond it is cut in two.
const PIECE: usize = 64;

type Member = (String, Json);
type Piece = Arc<Vec<Member>>;

/// The members of a JSON object, in the order RFC 8785 writes them.
#[derive(Clone)]
pub struct Object {
    pieces: Pieces,
}

/// Invariant: of many pieces none is empty.
#[derive(Clone)]
enum Pieces {
    One(Piece),
    Many(Arc<Vec<Piece>>),
}

impl Object {
    /// An object without members.
    pub fn new() -> Object {
        Object { pieces: Pieces::One(Arc::default()) }
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&Json> {
        let (piece, at) = self.place(key).ok()?;
        self.pieces().get(piece)?.get(at).map(|(_, value)| value)
    }

    /// The value of `key`, to change it.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Json> {
        let (piece, at) = self.place(key).ok()?;
        self.piece_mut(piece)?.get_mut(at).map(|(_, value)| value)
    }

    /// Whether there is a member `key`.
    pub fn contains_key(&self, key: &str) -> bool {
        self.place(key).is_ok()
    }

    /// Sets the member `key` and returns the value it replaces.
    pub fn insert(&mut self, key: impl Into<String>, value: impl Into<Json>) -> Option<Json> {
        let key = key.into();
        let value = value.into();
        match self.place(&key) {
            Ok((piece, at)) => self.piece_mut(piece)?.get_mut(at).map(|(_, old)| std::mem::replace(old, value)),
            Err((piece, at)) => {
                let members = self.piece_mut(piece)?;
                members.insert(at, (key, value));
                if members.len() > PIECE {
                    let upper = members.split_off(PIECE / 2);
                    self.many().insert(piece + 1, Arc::new(upper));
                }
                None
            }
        }
    }

    /// Takes the member `key` out.
    pub fn remove(&mut self, key: &str) -> Option<Json> {
        let (piece, at) = self.place(key).ok()?;
        let members = self.piece_mut(piece)?;
        let (_, value) = members.remove(at);
        if members.is_empty() && self.pieces().len() > 1 {
            self.many().remove(piece);
        }
        Some(value)
    }

    /// The members in canonical order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Json)> + DoubleEndedIterator {
        let members = self.pieces().iter().flat_map(|piece| piece.iter());
        Counted { members: members.map(|(key, value)| (key.as_str(), value)), left: self.len() }
    }

    /// The keys in canonical order.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &str> + DoubleEndedIterator {
        self.iter().map(|(key, _)| key)
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.pieces().iter().map(|piece| piece.len()).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.pieces().iter().all(|piece| piece.is_empty())
    }

    fn pieces(&self) -> &[Piece] {
        match &self.pieces {
            Pieces::One(piece) => std::slice::from_ref(piece),
            Pieces::Many(pieces) => pieces,
        }
    }

    /// A piece to change, which is no longer shared.
    fn piece_mut(&mut self, index: usize) -> Option<&mut Vec<Member>> {
        match &mut self.pieces {
            Pieces::One(piece) => Some(Arc::make_mut(piece)),
            Pieces::Many(pieces) => Arc::make_mut(pieces).get_mut(index).map(Arc::make_mut),
        }
    }

    /// The pieces as a list to change.
    fn many(&mut self) -> &mut Vec<Piece> {
        if let Pieces::One(piece) = &mut self.pieces {
            self.pieces = Pieces::Many(Arc::new(vec![std::mem::take(piece)]));
        }
        match &mut self.pieces {
            Pieces::Many(pieces) => Arc::make_mut(pieces),
            Pieces::One(_) => unreachable!("one piece was just made a list"),
        }
    }

    /// Where `key` stands among all members.
    pub(super) fn position(&self, key: &str) -> Option<usize> {
        let (piece, at) = self.place(key).ok()?;
        let before = self.pieces().iter().take(piece).map(|piece| piece.len());
        Some(before.sum::<usize>() + at)
    }

    /// In which piece, and where in it, `key` stands, or where it would.
    fn place(&self, key: &str) -> Result<(usize, usize), (usize, usize)> {
        let pieces = self.pieces();
        let ends_before =
            |piece: &Piece| piece.last().is_some_and(|(last, _)| compare_keys(last, key) == Ordering::Less);
        let last = pieces.len().saturating_sub(1);
        let piece = if last == 0 { 0 } else { pieces.partition_point(ends_before).min(last) };
        let members = pieces.get(piece).map(|piece| piece.as_slice()).unwrap_or_default();
        let found = members.binary_search_by(|(other, _)| compare_keys(other, key));
        found.map(|at| (piece, at)).map_err(|at| (piece, at))
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
        Ok(Object::from_sorted(members))
    }

    /// An object of members in canonical order.
    fn from_sorted(members: Vec<Member>) -> Object {
        if members.len() <= PIECE {
            return Object { pieces: Pieces::One(Arc::new(members)) };
        }
        let (mut members, mut pieces) = (members.into_iter(), Vec::new());
        while members.len() > 0 {
            pieces.push(Arc::new(members.by_ref().take(PIECE).collect()));
        }
        Object { pieces: Pieces::Many(Arc::new(pieces)) }
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Default for Object {
    fn default() -> Object {
        Object::new()
    }
}

/// By what the members are, however they lie in pieces.
impl PartialEq for Object {
    fn eq(&self, other: &Object) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl Eq for Object {}

/// An iterator that knows how many are left.
struct Counted<I> {
    members: I,
    left: usize,
}

impl<I: Iterator> Iterator for Counted<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        let next = self.members.next()?;
        self.left -= 1;
        Some(next)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<I: DoubleEndedIterator> DoubleEndedIterator for Counted<I> {
    fn next_back(&mut self) -> Option<I::Item> {
        let next = self.members.next_back()?;
        self.left -= 1;
        Some(next)
    }
}

impl<I: Iterator> ExactSizeIterator for Counted<I> {}

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
        Object::from_sorted(members)
    }
}

impl IntoIterator for Object {
    type Item = (String, Json);
    type IntoIter = std::vec::IntoIter<(String, Json)>;

    fn into_iter(self) -> Self::IntoIter {
        match self.pieces {
            Pieces::One(piece) => Arc::unwrap_or_clone(piece).into_iter(),
            Pieces::Many(pieces) => {
                let pieces = Arc::unwrap_or_clone(pieces).into_iter();
                pieces.flat_map(Arc::unwrap_or_clone).collect::<Vec<_>>().into_iter()
            }
        }
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

    /// Does the same to an object and to a sorted map, in an order that mixes pieces.
    fn mixed(count: usize) -> (Object, std::collections::BTreeMap<String, usize>) {
        let (mut object, mut map) = (Object::new(), std::collections::BTreeMap::new());
        for number in 0..count {
            let key = format!("k{:05}", number * 7919 % count);
            assert_eq!(object.insert(key.clone(), number), map.insert(key, number).map(Json::from));
        }
        (object, map)
    }

    #[test]
    fn many_members_are_the_same_however_they_came_and_went() {
        let (mut object, mut map) = mixed(1_000);
        let same = |object: &Object, map: &std::collections::BTreeMap<String, usize>| {
            let expected: Object = map.iter().map(|(key, value)| (key.clone(), *value)).collect();
            assert_eq!((object.len(), object), (map.len(), &expected));
            assert!(object.keys().eq(map.keys()));
            assert!(object.iter().rev().map(|(key, _)| key).eq(map.keys().rev()));
            assert!(object.clone().into_iter().map(|(key, _)| key).eq(map.keys().cloned()));
        };
        same(&object, &map);
        for number in (0..1_000).filter(|number| number % 10 != 3) {
            let key = format!("k{number:05}");
            assert_eq!(object.remove(&key), map.remove(&key).map(Json::from));
            assert!(!object.contains_key(&key));
        }
        same(&object, &map);
        for key in map.keys().cloned().collect::<Vec<_>>() {
            assert!(object.remove(&key).is_some());
        }
        assert!(object.is_empty());
        assert_eq!(object.insert("a", 1), None);
        assert_eq!(object.get("a"), Some(&Json::from(1)));
    }

    #[test]
    fn a_change_of_a_clone_leaves_the_other_as_it_was_and_shares_the_rest_with_it() {
        let (object, _) = mixed(1_000);
        let mut changed = object.clone();
        changed.insert("k00500", "new");
        assert_ne!(object.get("k00500"), Some(&Json::from("new")));
        let shared = object.pieces().iter().zip(changed.pieces()).filter(|(one, other)| Arc::ptr_eq(one, other));
        assert_eq!(shared.count() + 1, object.pieces().len());
    }
}
