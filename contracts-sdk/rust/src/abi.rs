//! The world `lockstep:contract@0.1.0` in terms of WebAssembly: pointers and lengths.
//!
//! It is written out by hand, by the component model's canonical ABI, because a bindings generator would be
//! thirty crates in every contract that nobody who approves one could read. `contract build` adds the
//! world's types and wraps the result as a component. Memory that the host hands over stays with the
//! contract; nothing is ever freed early, since an instance lives for one call.

use crate::door::Operation;
use crate::outcome::{Failure, Outcome};
use std::alloc::{Layout, alloc, realloc};
use std::mem::MaybeUninit;

#[link(wasm_import_module = "lockstep:contract/host@0.1.0")]
unsafe extern "C" {
    #[link_name = "context"]
    fn host_context(answer: *mut u8);
    #[link_name = "read"]
    fn host_read(
        record: u32,
        section: *const u8,
        section_len: usize,
        pointer: *const u8,
        pointer_len: usize,
        answer: *mut u8,
    );
    #[link_name = "keys"]
    fn host_keys(
        record: u32,
        section: *const u8,
        section_len: usize,
        pointer: *const u8,
        pointer_len: usize,
        answer: *mut u8,
    );
    #[link_name = "change"]
    fn host_change(
        record: u32,
        section: *const u8,
        section_len: usize,
        operation: u32,
        first: *const u8,
        first_len: usize,
        second: *const u8,
        second_len: usize,
        answer: *mut u8,
    );
    #[link_name = "notify"]
    fn host_notify(
        record: u32,
        section: *const u8,
        section_len: usize,
        kind: *const u8,
        kind_len: usize,
        data: *const u8,
        data_len: usize,
        answer: *mut u8,
    );
    #[link_name = "log"]
    fn host_log(message: *const u8, message_len: usize);
}

/// Where the host writes an answer: at most a discriminant and two strings, aligned to four bytes.
#[repr(C, align(4))]
struct Answer([MaybeUninit<u8>; 20]);

impl Answer {
    fn new() -> Self {
        Answer([MaybeUninit::zeroed(); 20])
    }

    fn as_mut(&mut self) -> *mut u8 {
        self.0.as_mut_ptr().cast()
    }

    fn word(&self, offset: usize) -> usize {
        debug_assert!(offset % 4 == 0 && offset <= 16, "answers have five words");
        // SAFETY: the offset is within the 20 bytes and aligned; the bytes were zeroed or written by the host.
        unsafe { self.0.as_ptr().cast::<u8>().add(offset).cast::<u32>().read() as usize }
    }

    /// The discriminant byte at `offset`.
    fn tag(&self, offset: usize) -> usize {
        self.word(offset) & 0xff
    }

    fn string(&self, offset: usize) -> String {
        // SAFETY: the host wrote pointer and length of UTF-8 that it had allocated by `cabi_realloc`.
        unsafe { owned_string(self.word(offset) as *mut u8, self.word(offset + 4)) }
    }

    /// The answer as `result<_, failure>`.
    fn done(&self) -> Result<(), Failure> {
        if self.tag(0) == 0 {
            return Ok(());
        }
        Err(Failure { code: self.string(4), message: self.string(12) })
    }
}

/// Takes over a string that the host allocated.
///
/// # Safety
/// `pointer` and `len` are what the host passed: UTF-8 of exactly `len` bytes from `cabi_realloc`.
pub unsafe fn owned_string(pointer: *mut u8, len: usize) -> String {
    if len == 0 {
        return String::new();
    }
    // SAFETY: by this function's own contract; the component model guarantees valid UTF-8.
    unsafe { String::from_raw_parts(pointer, len, len) }
}

/// What the host calls to place strings and lists in the contract's memory.
///
/// # Safety
/// As for the canonical ABI's `realloc`: `old` is null or came from here with `old_len` and `align`.
pub unsafe fn cabi_realloc(old: *mut u8, old_len: usize, align: usize, new_len: usize) -> *mut u8 {
    if new_len == 0 {
        return align as *mut u8;
    }
    // SAFETY: the canonical ABI passes powers of two as alignments and sizes that fit the address space.
    let place = unsafe {
        if old_len == 0 {
            alloc(Layout::from_size_align_unchecked(new_len, align))
        } else {
            realloc(old, Layout::from_size_align_unchecked(old_len, align), new_len)
        }
    };
    if place.is_null() {
        std::alloc::handle_alloc_error(Layout::new::<u8>());
    }
    place
}

/// Lays an outcome out as `result<_, rejection>`; never freed, the instance ends with the call.
pub fn lower(outcome: Outcome) -> *const u32 {
    let words: [u32; 5] = match outcome {
        Ok(()) => [0; 5],
        Err(rejection) => {
            let reason = leak(rejection.reason);
            let message = leak(rejection.message);
            [1, reason.as_ptr() as u32, reason.len() as u32, message.as_ptr() as u32, message.len() as u32]
        }
    };
    Box::leak(Box::new(words)).as_ptr()
}

fn leak(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

pub(crate) fn context() -> String {
    let mut answer = Answer::new();
    // SAFETY: the answer has room for a pointer and a length.
    unsafe { host_context(answer.as_mut()) };
    answer.string(0)
}

pub(crate) fn read(record: u32, section: &str, pointer: &str) -> Result<Option<String>, Failure> {
    let mut answer = Answer::new();
    // SAFETY: the strings outlive the call; the answer has room for every case.
    unsafe { host_read(record, section.as_ptr(), section.len(), pointer.as_ptr(), pointer.len(), answer.as_mut()) };
    answer.done()?;
    Ok(if answer.tag(4) == 0 { None } else { Some(answer.string(8)) })
}

pub(crate) fn keys(record: u32, section: &str, pointer: &str) -> Result<Vec<String>, Failure> {
    let mut answer = Answer::new();
    // SAFETY: as for `read`.
    unsafe { host_keys(record, section.as_ptr(), section.len(), pointer.as_ptr(), pointer.len(), answer.as_mut()) };
    answer.done()?;
    let list = answer.word(4) as *const [u32; 2];
    let name = |index: usize| {
        // SAFETY: the host wrote as many pairs of pointer and length as it says, each a string of its own.
        let [pointer, len] = unsafe { list.add(index).read() };
        unsafe { owned_string(pointer as *mut u8, len as usize) }
    };
    Ok((0..answer.word(8)).map(name).collect())
}

pub(crate) fn change(record: u32, section: &str, operation: Operation<'_>) -> Result<(), Failure> {
    let (case, first, second) = match operation {
        Operation::Add { path, value } => (0, path, value),
        Operation::Remove { path } => (1, path, ""),
        Operation::Replace { path, value } => (2, path, value),
        Operation::Move { from, path } => (3, from, path),
        Operation::Copy { from, path } => (4, from, path),
        Operation::Test { path, value } => (5, path, value),
    };
    let mut answer = Answer::new();
    // SAFETY: as for `read`; every case of the variant is at most two strings, in this order.
    unsafe {
        host_change(
            record,
            section.as_ptr(),
            section.len(),
            case,
            first.as_ptr(),
            first.len(),
            second.as_ptr(),
            second.len(),
            answer.as_mut(),
        );
    }
    answer.done()
}

pub(crate) fn notify(record: u32, section: &str, kind: &str, data: &str) -> Result<(), Failure> {
    let mut answer = Answer::new();
    // SAFETY: as for `read`.
    unsafe {
        host_notify(
            record,
            section.as_ptr(),
            section.len(),
            kind.as_ptr(),
            kind.len(),
            data.as_ptr(),
            data.len(),
            answer.as_mut(),
        );
    }
    answer.done()
}

pub(crate) fn log(message: &str) {
    // SAFETY: the message outlives the call.
    unsafe { host_log(message.as_ptr(), message.len()) };
}
