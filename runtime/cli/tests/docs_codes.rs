//! `docs/codes.md` is made from the codes in core; `LOCKSTEP_BLESS=1` writes it.

mod documents;

use lockstep_core::codes::{Code, CodeClass};

const HEAD: &str = "\
# Codes

Every code that a person or a program can meet. `lockstep explain CODE` prints the same. This page is made from
`runtime/core/src/codes.rs` by `LOCKSTEP_BLESS=1 cargo test -p lockstep-cli --test docs_codes`; do not edit it.
";

fn about(class: CodeClass) -> (&'static str, &'static str) {
    match class {
        CodeClass::Refused => ("Refused", "Turned away at the door: no row is written. Exit 3."),
        CodeClass::Rejected => (
            "Rejected",
            "Signed by a known actor, and the rules or the contract said no: a row in `lockstep_intent`, a leaf in the log, a receipt. Exit 4.",
        ),
        CodeClass::Finding => ("Findings", "What `lockstep verify` reports. Exit 5."),
        CodeClass::Error => {
            ("Errors", "A command could not do its work. Exit 1, 2, 3 or 6; `lockstep help` says which.")
        }
    }
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    for class in [CodeClass::Refused, CodeClass::Rejected, CodeClass::Finding, CodeClass::Error] {
        let (title, text) = about(class);
        page.push_str(&format!(
            "\n## {title}\n\n{text}\n\n| code | what it means | why | what to do |\n| --- | --- | --- | --- |\n"
        ));
        for code in Code::ALL.iter().filter(|code| code.class() == class) {
            let cell = |text: &str| text.replace('|', "\\|");
            page.push_str(&format!(
                "| `{code}` | {} | {} | {} |\n",
                cell(code.title()),
                cell(code.cause()),
                cell(code.remedy())
            ));
        }
    }
    page
}

#[test]
fn the_page_of_codes_is_the_list_in_core() {
    let (path, expected) = (documents::repository().join("docs/codes.md"), page());
    if std::env::var_os("LOCKSTEP_BLESS").is_some() {
        std::fs::write(&path, &expected).unwrap_or_else(|error| panic!("docs/codes.md: {error}"));
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "docs/codes.md is not the list in core; LOCKSTEP_BLESS=1 cargo test -p lockstep-cli --test docs_codes writes it"
    );
}
