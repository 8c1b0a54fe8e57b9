//! `lockstep sql`: read-only queries on the participant's own database, one at a time or at a prompt.

use std::io::{BufRead, IsTerminal, Write};

use clap::Args;
use lockstep_core::codes::Code;
use lockstep_core::database::{Answer, Database};
use lockstep_core::json::{Json, Object};
use lockstep_core::tables::{Cell, Role, own_tables};

use crate::context::Context;
use crate::error::{CliError, Exit, file_error};
use crate::output::Output;
use crate::stored::{Stored, typed};

const HELP: &str = "End a query with ; and it is answered. Only reading is possible here.
  .tables  the tables and views
  .quit    leave";

/// Arguments of `sql`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  lockstep sql 'SELECT record_id, lockstep_seq FROM house_sale'
  lockstep sql 'SELECT * FROM lockstep_intent' --csv > intents.csv
  lockstep sql                                              a prompt; ends with .quit
  echo 'SELECT count(*) AS n FROM lockstep_event;' | lockstep sql --json")]
pub(crate) struct SqlArgs {
    /// The query; without one, queries are read from standard input
    query: Option<String>,
    /// Print comma-separated values (RFC 4180); NULL is empty, empty text is ""
    #[arg(long)]
    csv: bool,
    /// Most rows to print
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    limit: usize,
}

/// How to print answers.
#[derive(Clone, Copy)]
struct Printing {
    output: Output,
    csv: bool,
    limit: usize,
}

pub(crate) async fn run(context: &Context, args: SqlArgs) -> Result<Exit, CliError> {
    if args.csv && context.output.json {
        return Err(CliError::new(Code::Usage, "--csv and --json exclude each other"));
    }
    let printing = Printing { output: context.output, csv: args.csv, limit: args.limit };
    let stored = Stored::open(&context.home()?).await?;
    match &args.query {
        Some(query) => answer(stored.database(), query, printing).await?,
        None => prompt(&stored, printing).await?,
    }
    Ok(Exit::Done)
}

async fn answer(database: &dyn Database, query: &str, printing: Printing) -> Result<(), CliError> {
    let answer = database.query(query, printing.limit).await?;
    if printing.output.json {
        printing.output.document(&objects(&answer));
    } else if printing.csv {
        write_csv(&answer, &mut std::io::BufWriter::new(std::io::stdout().lock()));
    } else {
        let header: Vec<&str> = answer.columns.iter().map(String::as_str).collect();
        let rows: Vec<Vec<String>> = answer.rows.iter().map(|row| row.iter().map(plain).collect()).collect();
        printing.output.table(&header, &rows);
    }
    if answer.truncated {
        // Whatever the format: what is missing is said where it disturbs no data.
        eprintln!("lockstep: there are more than {} rows; --limit N prints more", printing.limit);
    }
    Ok(())
}

/// A row as an object. Columns of one name are told apart by a number, since a key must not stand twice.
fn objects(answer: &Answer) -> Json {
    let mut names: Vec<String> = Vec::new();
    for column in &answer.columns {
        let mut name = column.clone();
        let mut number = 2;
        while names.contains(&name) {
            name = format!("{column}_{number}");
            number += 1;
        }
        names.push(name);
    }
    answer
        .rows
        .iter()
        .map(|row| Json::Object(names.iter().cloned().zip(row.iter().map(typed)).collect::<Object>()))
        .collect()
}

/// A cell for people; bytes are hex.
fn plain(cell: &Cell) -> String {
    match cell {
        Cell::Null => "NULL".to_owned(),
        Cell::Bytes(bytes) => data_encoding::HEXLOWER.encode(bytes),
        other => other.show().unwrap_or_default(),
    }
}

/// Writes an answer as it is read by others; a reader that has gone away, such as `head`, wants no more.
fn write_csv(answer: &Answer, out: &mut impl Write) {
    if csv(answer, out).and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

fn csv(answer: &Answer, out: &mut impl Write) -> std::io::Result<()> {
    for (at, name) in answer.columns.iter().enumerate() {
        csv_separator(at, out)?;
        csv_field(name, out)?;
    }
    out.write_all(b"\n")?;
    for row in &answer.rows {
        for (at, cell) in row.iter().enumerate() {
            csv_separator(at, out)?;
            csv_cell(cell, out)?;
        }
        out.write_all(b"\n")?;
    }
    Ok(())
}

fn csv_separator(at: usize, out: &mut impl Write) -> std::io::Result<()> {
    if at > 0 { out.write_all(b",") } else { Ok(()) }
}

fn csv_cell(cell: &Cell, out: &mut impl Write) -> std::io::Result<()> {
    match cell {
        Cell::Null => Ok(()),
        Cell::Text(text) => csv_field(text, out),
        Cell::Bytes(bytes) => {
            data_encoding::HEXLOWER.encode_write(bytes, &mut Utf8(out)).map_err(std::io::Error::other)
        }
        cell => csv_field(&plain(cell), out),
    }
}

fn csv_field(text: &str, out: &mut impl Write) -> std::io::Result<()> {
    let plain = !text.is_empty() && text.trim() == text && !text.contains([',', '"', '\n', '\r']);
    if plain {
        return out.write_all(text.as_bytes());
    }
    out.write_all(b"\"")?;
    out.write_all(text.replace('"', "\"\"").as_bytes())?;
    out.write_all(b"\"")
}

/// Takes text where bytes are taken.
struct Utf8<'a, W>(&'a mut W);

impl<W: Write> std::fmt::Write for Utf8<'_, W> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.write_all(text.as_bytes()).map_err(|_| std::fmt::Error)
    }
}

/// Reads queries from standard input until it ends. A person's mistake is answered and forgotten; a script's ends it.
async fn prompt(stored: &Stored, printing: Printing) -> Result<(), CliError> {
    let person = std::io::stdin().is_terminal();
    let mut query = String::new();
    loop {
        if person {
            eprint!("{}", if query.is_empty() { "lockstep> " } else { "     ...> " });
            std::io::stderr().flush().ok();
        }
        let mut line = String::new();
        let read = std::io::stdin().lock().read_line(&mut line);
        let ended = read.map_err(|error| file_error(std::path::Path::new("standard input"), &error))? == 0;
        match line.trim() {
            ".quit" | ".exit" if query.is_empty() => return Ok(()),
            ".help" if query.is_empty() => eprintln!("{HELP}"),
            ".tables" if query.is_empty() => tables(stored, printing.output).await?,
            _ => query.push_str(&line),
        }
        if query.trim().is_empty() {
            query.clear();
        } else if ended || query.trim_end().ends_with(';') {
            let asked = std::mem::take(&mut query);
            match answer(stored.database(), &asked, printing).await {
                Err(error) if person => eprintln!("error[{}]: {}", error.code, error.message),
                other => other?,
            }
        }
        if ended {
            return Ok(());
        }
    }
}

async fn tables(stored: &Stored, output: Output) -> Result<(), CliError> {
    let directory = stored.directory().await?;
    let own = own_tables().into_iter().map(|table| (table.name, table.comment));
    let mut names: Vec<(String, String)> = Vec::new();
    for table in directory.record_tables() {
        if table.role == Role::Records {
            names.push((format!("{}_history", table.name), format!("view: a row per version of {}", table.name)));
            names.push((format!("{}_changes", table.name), format!("view: a row per change of {}", table.name)));
        }
        names.push((table.name, table.comment));
    }
    names.sort();
    names.extend(own);
    output.document(&names.iter().map(|(name, _)| Json::from(name)).collect());
    output.table(&["table", "what it is"], &names.into_iter().map(|(name, what)| vec![name, what]).collect::<Vec<_>>());
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn sample(columns: &[&str], row: Vec<Cell>) -> Answer {
        Answer { columns: columns.iter().map(|name| (*name).to_owned()).collect(), rows: vec![row], truncated: false }
    }

    fn written(answer: &Answer) -> String {
        let mut out = Vec::new();
        csv(answer, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_that_would_break_a_line_of_csv_are_quoted() {
        let cells = ["plain", "a,b", "say \"x\"", "two\nlines", "", " edge"].map(|text| Cell::Text(text.to_owned()));
        let answer = sample(&["a", "b,c", "d", "e", "f", "g"], cells.to_vec());
        assert_eq!(
            written(&answer),
            "a,\"b,c\",d,e,f,g\nplain,\"a,b\",\"say \"\"x\"\"\",\"two\nlines\",\"\",\" edge\"\n"
        );
    }

    #[test]
    fn null_and_bytes_have_their_own_spelling_in_csv() {
        let answer = sample(&["a", "b"], vec![Cell::Null, Cell::Bytes(vec![0xca, 0xfe])]);
        assert_eq!(written(&answer), "a,b\n,cafe\n");
    }

    #[test]
    fn columns_of_one_name_become_several_keys() {
        let answer = sample(&["a", "a", "a_2"], vec![Cell::Integer(1), Cell::Null, Cell::Decimal("1.5".to_owned())]);
        assert_eq!(objects(&answer).canonical(), r#"[{"a":1,"a_2":null,"a_2_2":1.5}]"#);
    }
}
