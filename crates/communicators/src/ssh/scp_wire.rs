//! The words of the scp protocol: records and acknowledgements. Who speaks first and what is sent is told in `scp.rs`.

use bakelite_engine::foreign::quoted;

use super::program::{Program, READY_LIMIT};
use super::transfer::TransferError;

/// What the other side has to say about what it got.
pub(crate) enum Acknowledgement {
    /// Go on.
    Fine,
    /// Something did not work.
    Complaint(String),
}

/// A record of a transfer from the other side.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// A file of this mode, length and name.
    File(u32, u64, String),
    /// A folder of this mode and name opens.
    Folder(u32, String),
    /// It closes.
    EndOfFolder,
    /// When what comes next was last changed, in seconds since 1970.
    Times(u64),
}

/// Waits for the other side's word on what it got.
pub(crate) async fn acknowledgement(scp: &mut Program) -> Result<Acknowledgement, TransferError> {
    match scp.byte().await? {
        0 => Ok(Acknowledgement::Fine),
        1 | 2 => {
            let line = scp.line().await?;
            Ok(Acknowledgement::Complaint(complaint(&line)))
        }
        other => {
            let rest = scp.line().await.unwrap_or_default();
            let text = format!("{}{}", char::from(other), String::from_utf8_lossy(&rest));
            Err(TransferError::Missing(format!("it answers `{}`", quoted(text.trim()))))
        }
    }
}

/// Waits for the other side's consent.
pub(crate) async fn consent(scp: &mut Program) -> Result<(), TransferError> {
    match acknowledgement(scp).await? {
        Acknowledgement::Fine => Ok(()),
        Acknowledgement::Complaint(text) => Err(TransferError::Refused(text)),
    }
}

/// Waits for the first word of an scp that was started.
pub(crate) async fn greeting(scp: &mut Program) -> Result<(), TransferError> {
    let first = tokio::time::timeout(READY_LIMIT, consent(scp)).await;
    first.unwrap_or_else(|_| {
        Err(TransferError::Missing(
            "the server runs something that says nothing".into(),
        ))
    })
}

/// The next record; `None` when there are no more.
pub(crate) async fn record(scp: &mut Program) -> Result<Option<Record>, TransferError> {
    if !scp.more().await? {
        return scp.finish().await.map(|()| None);
    }
    let line = scp.line().await?;
    if let [1 | 2, text @ ..] = line.as_slice() {
        return Err(TransferError::Refused(complaint(text)));
    }
    let line = String::from_utf8_lossy(&line).into_owned();
    parse_record(&line)
        .map(Some)
        .ok_or_else(|| TransferError::Missing(format!("it sends `{}`", quoted(line.trim()))))
}

fn complaint(line: &[u8]) -> String {
    let line = String::from_utf8_lossy(line);
    quoted(line.trim().trim_start_matches("scp: "))
}

/// Reads a record; nothing when the line is none.
pub(crate) fn parse_record(line: &str) -> Option<Record> {
    let kind = line.chars().next()?;
    let mut fields = line.get(1..)?.splitn(3, ' ');
    match kind {
        'E' => Some(Record::EndOfFolder),
        'T' => Some(Record::Times(fields.next()?.parse().ok()?)),
        'C' | 'D' => {
            let mode = u32::from_str_radix(fields.next()?, 8).ok()? & 0o7777;
            let size = fields.next()?.parse().ok()?;
            let name = fields.next()?.to_owned();
            Some(if kind == 'C' {
                Record::File(mode, size, name)
            } else {
                Record::Folder(mode, name)
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_with_spaces_in_names() {
        assert_eq!(
            parse_record("C0644 12 with space.txt"),
            Some(Record::File(0o644, 12, "with space.txt".into()))
        );
        assert_eq!(
            parse_record("D0755 0 folder"),
            Some(Record::Folder(0o755, "folder".into()))
        );
        assert_eq!(parse_record("E"), Some(Record::EndOfFolder));
        assert_eq!(parse_record("T86400 0 90000 0"), Some(Record::Times(86_400)));
        assert_eq!(parse_record("T-1 0 0 0"), None);
        assert_eq!(parse_record("Welcome to the instance"), None);
        assert_eq!(parse_record("C0644 -1 x"), None);
        assert_eq!(parse_record(""), None);
    }

    proptest::proptest! {
        #[test]
        fn no_line_makes_it_panic(line in "\\PC*") {
            parse_record(&line);
        }
    }
}
