//! Documents from a seed, rich in what goes wrong: keys that sort differently in UTF-8 and UTF-16, control
//! characters, empty keys, nesting, numbers at every edge of a double.

use lockstep_core::json::{Json, Limits, Number, Object, Operation, Pointer};

/// SplitMix64: one seed, one document, on every machine.
pub(crate) struct Seed(pub(crate) u64);

const CHARACTERS: [char; 22] = [
    'a',
    'b',
    'B',
    '0',
    ' ',
    '"',
    '\\',
    '/',
    '~',
    '\n',
    '\u{1}',
    '\u{1f}',
    '\u{7f}',
    '\u{80}',
    'é',
    '\u{2028}',
    '\u{d7ff}',
    '\u{e000}',
    '\u{ffff}',
    '\u{10000}',
    '😀',
    '\u{10ffff}',
];

impl Seed {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub(crate) fn text(&mut self) -> String {
        let length = [0, 1, 1, 2, 3, 9, 40][self.below(7)];
        (0..length).map(|_| CHARACTERS[self.below(CHARACTERS.len())]).collect()
    }

    pub(crate) fn number(&mut self) -> Number {
        loop {
            let near = |base: f64, offset: u64| f64::from_bits(base.to_bits().wrapping_add(offset));
            let value = match self.below(9) {
                0 => self.below(10) as f64 - 5.0,
                1 => near(9_007_199_254_740_992.0, self.next() % 9) - 4.0,
                2 => f64::from_bits(self.next() % 100),
                3 => near(f64::MIN_POSITIVE, self.next() % 5),
                4 => near(1e21, self.next() % 5),
                5 => near(1e-6, self.next() % 5),
                6 => (self.next() % 1_000_000) as f64 / 100.0,
                7 => f64::from_bits(f64::MAX.to_bits() - self.next() % 5),
                _ => f64::from_bits(self.next()),
            };
            let signed = if self.below(4) == 0 { -value } else { value };
            if let Some(number) = Number::from_f64(signed) {
                return number;
            }
        }
    }

    pub(crate) fn document(&mut self, depth: usize) -> Json {
        match self.below(if depth == 0 { 6 } else { 10 }) {
            0 => Json::Null,
            1 => Json::Bool(self.below(2) == 0),
            2 | 3 => Json::Number(self.number()),
            4 | 5 => Json::String(self.text()),
            6 | 7 => (0..self.below(5)).map(|_| self.document(depth - 1)).collect(),
            _ => Json::Object((0..self.below(6)).map(|_| (self.text(), self.document(depth - 1))).collect::<Object>()),
        }
    }

    /// A document that nests exactly `depth` deep along one branch.
    pub(crate) fn deep(&mut self, depth: usize) -> Json {
        (0..depth).fold(self.document(0), |inner, _| match self.below(2) {
            0 => Json::Array(vec![self.document(0), inner]),
            _ => Json::Object([(self.text(), inner), (self.text(), self.document(0))].into_iter().rev().collect()),
        })
    }

    /// A place in the document, or one next to it, or one that is nowhere.
    #[allow(dead_code, reason = "each test file compiles this module for itself")]
    pub(crate) fn pointer(&mut self, document: &Json) -> Pointer {
        let mut text = String::new();
        let mut place = document;
        while self.below(4) > 0 {
            let token = match place {
                Json::Array(items) if self.below(8) > 0 => self.below(items.len() + 1).to_string(),
                Json::Object(members) if !members.is_empty() && self.below(8) > 0 => {
                    members.keys().nth(self.below(members.len())).unwrap().to_owned()
                }
                _ => ["-", "0", "01", "a", ""][self.below(5)].to_owned(),
            };
            text.push('/');
            text.push_str(&token.replace('~', "~0").replace('/', "~1"));
            match document.at(&Pointer::parse(&text).unwrap()) {
                Some(next) => place = next,
                None => break,
            }
        }
        Pointer::parse(&text).unwrap()
    }

    #[allow(dead_code, reason = "each test file compiles this module for itself")]
    pub(crate) fn operation(&mut self, document: &Json) -> Operation {
        let path = self.pointer(document);
        let from = self.pointer(document);
        match self.below(7) {
            0 | 1 => Operation::Add { path, value: self.document(2) },
            2 => Operation::Remove { path },
            3 => Operation::Replace { path, value: self.document(2) },
            4 => Operation::Move { from, path },
            5 => Operation::Copy { from, path },
            _ => {
                let value = document.at(&path).cloned().unwrap_or_default();
                Operation::Test { path, value: if self.below(2) == 0 { value } else { self.document(1) } }
            }
        }
    }
}

/// Reads what must be readable.
pub(crate) fn read(text: &str) -> Json {
    Json::parse(text.as_bytes(), &Limits::default()).unwrap_or_else(|error| panic!("{error} in {text}"))
}
