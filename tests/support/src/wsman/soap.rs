//! The messages of MS-WSMV as this server reads and writes them. Written from the protocol's document, apart from the client's.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use roxmltree::{Document, Node};

const SHELL_NS: &str = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell";
const TRANSFER: &str = "http://schemas.xmlsoap.org/ws/2004/09/transfer";
const FAULT_ACTION: &str = "http://schemas.dmtf.org/wbem/wsman/1/wsman/fault";
/// The only kind of shell that there is.
const CMD: &str = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/cmd";

/// A request.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) message_id: String,
    /// How long an operation may wait for something to answer.
    pub(super) operation_timeout: Duration,
    /// The most that an answer may have, in bytes.
    pub(super) max_envelope_size: usize,
    /// Of the option set, as given.
    pub(super) options: BTreeMap<String, String>,
    pub(super) operation: Operation,
}

/// What is asked for.
#[derive(Debug)]
pub(super) enum Operation {
    Create {
        environment: BTreeMap<String, String>,
        working_directory: Option<String>,
    },
    Command {
        shell: String,
        command_line: String,
    },
    Receive {
        shell: String,
        command: String,
    },
    Send {
        shell: String,
        command: String,
        bytes: Bytes,
        end: bool,
    },
    Signal {
        shell: String,
        command: String,
        code: String,
    },
    Delete {
        shell: String,
    },
}

impl Operation {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Operation::Create { .. } => "Create",
            Operation::Command { .. } => "Command",
            Operation::Receive { .. } => "Receive",
            Operation::Send { .. } => "Send",
            Operation::Signal { .. } => "Signal",
            Operation::Delete { .. } => "Delete",
        }
    }
}

/// A refusal: what makes a fault.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    /// `WSManFault`'s code.
    pub code: u32,
    /// The subcode of SOAP, with its prefix.
    pub subcode: &'static str,
    /// For people.
    pub reason: &'static str,
}

impl Fault {
    /// Nothing to answer within the operation's time: ask again.
    pub const TIMED_OUT: Fault = Fault {
        code: 2_150_858_793,
        subcode: "w:TimedOut",
        reason: "The WS-Management service cannot complete the operation within the time specified in OperationTimeout.",
    };
    /// There is no such shell, or no such command in it.
    pub const NO_SUCH_SHELL: Fault = Fault {
        code: 2_150_858_843,
        subcode: "w:InvalidSelectors",
        reason: "The request for the Windows Remote Shell with ShellId failed because the shell was not found on the server.",
    };
    /// The request is more than the service takes.
    pub const TOO_LARGE: Fault = Fault {
        code: 2_150_858_999,
        subcode: "w:EncodingLimit",
        reason: "The WinRM client sent a request to the remote WS-Management service with an envelope size that exceeds MaxEnvelopeSizekb.",
    };
    /// The user has as many shells as are allowed.
    pub const TOO_MANY_SHELLS: Fault = Fault {
        code: 2_150_859_173,
        subcode: "w:QuotaLimit",
        reason: "The WS-Management service cannot process the request. The user has exceeded the maximum number of concurrent shells.",
    };
    /// The request is none.
    pub const SCHEMA: Fault = Fault {
        code: 2_150_858_817,
        subcode: "w:SchemaValidationError",
        reason: "The SOAP XML in the message does not match the corresponding XML schema definition.",
    };
    /// The input of the command is closed.
    pub const BROKEN_PIPE: Fault = Fault {
        code: 2_147_942_509,
        subcode: "w:InternalError",
        reason: "The pipe has been ended.",
    };
}

/// Reads a request.
pub(super) fn parse(text: &str) -> Result<Request, String> {
    let document = Document::parse(text).map_err(|error| error.to_string())?;
    let header = child(document.root_element(), "Header")?;
    let body = child(document.root_element(), "Body")?;
    let action = text_of(header, "Action")?;
    let resource = text_of(header, "ResourceURI")?;
    if resource != CMD {
        return Err(format!("there is no resource {resource}"));
    }
    let options = header
        .descendants()
        .filter(|node| node.has_tag_name_local("Option"))
        .filter_map(|node| {
            Some((
                node.attribute("Name")?.to_owned(),
                node.text().unwrap_or_default().to_owned(),
            ))
        });
    Ok(Request {
        message_id: text_of(header, "MessageID")?,
        operation_timeout: duration(&text_of(header, "OperationTimeout")?)?,
        max_envelope_size: text_of(header, "MaxEnvelopeSize")?
            .parse()
            .map_err(|_| "MaxEnvelopeSize")?,
        options: options.collect(),
        operation: operation(&action, header, body)?,
    })
}

fn operation(action: &str, header: Node<'_, '_>, body: Node<'_, '_>) -> Result<Operation, String> {
    if action == format!("{TRANSFER}/Create") {
        let shell = child(body, "Shell")?;
        let variables = shell.descendants().filter(|node| node.has_tag_name_local("Variable"));
        let variables = variables.filter_map(|node| Some((node.attribute("Name")?.to_owned(), inner(node))));
        return Ok(Operation::Create {
            environment: variables.collect(),
            working_directory: child(shell, "WorkingDirectory").ok().map(inner),
        });
    }
    let selector = header
        .descendants()
        .find(|node| node.attribute("Name") == Some("ShellId"));
    let shell = inner(selector.ok_or("there is no selector ShellId")?);
    if action == format!("{TRANSFER}/Delete") {
        return Ok(Operation::Delete { shell });
    }
    match action.strip_prefix(SHELL_NS) {
        Some("/Command") => {
            let line = child(body, "CommandLine")?;
            let words = line
                .children()
                .filter(Node::is_element)
                .map(inner)
                .filter(|word| !word.is_empty());
            let command_line = words.collect::<Vec<_>>().join(" ");
            Ok(Operation::Command { shell, command_line })
        }
        Some("/Receive") => {
            let stream = child(child(body, "Receive")?, "DesiredStream")?;
            Ok(Operation::Receive {
                shell,
                command: attribute(stream, "CommandId")?,
            })
        }
        Some("/Send") => {
            let stream = child(child(body, "Send")?, "Stream")?;
            let bytes = STANDARD
                .decode(inner(stream).trim())
                .map_err(|error| error.to_string())?;
            Ok(Operation::Send {
                shell,
                command: attribute(stream, "CommandId")?,
                bytes: bytes.into(),
                end: stream
                    .attribute("End")
                    .is_some_and(|end| end.eq_ignore_ascii_case("true")),
            })
        }
        Some("/Signal") => {
            let signal = child(body, "Signal")?;
            let code = text_of(signal, "Code")?;
            let code = code.rsplit('/').next().unwrap_or_default().to_owned();
            Ok(Operation::Signal {
                shell,
                command: attribute(signal, "CommandId")?,
                code,
            })
        }
        _ => Err(format!("there is no action {action}")),
    }
}

/// `PT1H2M3.5S`
fn duration(text: &str) -> Result<Duration, String> {
    let mut rest = text
        .strip_prefix("PT")
        .ok_or_else(|| format!("{text} is no duration"))?;
    let mut total = 0.0;
    while let Some(end) = rest.find(|letter: char| letter.is_ascii_alphabetic()) {
        let number: f64 = rest[..end].parse().map_err(|_| format!("{text} is no duration"))?;
        total += number
            * match &rest[end..=end] {
                "H" => 3600.0,
                "M" => 60.0,
                "S" => 1.0,
                _ => return Err(format!("{text} is no duration")),
            };
        rest = &rest[end + 1..];
    }
    Duration::try_from_secs_f64(total).map_err(|error| error.to_string())
}

trait LocalName {
    fn has_tag_name_local(&self, name: &str) -> bool;
}

impl LocalName for Node<'_, '_> {
    fn has_tag_name_local(&self, name: &str) -> bool {
        self.is_element() && self.tag_name().name() == name
    }
}

fn child<'a, 'input>(node: Node<'a, 'input>, name: &str) -> Result<Node<'a, 'input>, String> {
    let found = node.children().find(|child| child.has_tag_name_local(name));
    found.ok_or_else(|| format!("{} has no {name}", node.tag_name().name()))
}

/// All text of an element, sections of CDATA too.
fn inner(node: Node<'_, '_>) -> String {
    node.descendants()
        .filter(Node::is_text)
        .filter_map(|text| text.text())
        .collect()
}

fn text_of(node: Node<'_, '_>, name: &str) -> Result<String, String> {
    Ok(inner(child(node, name)?).trim().to_owned())
}

fn attribute(node: Node<'_, '_>, name: &str) -> Result<String, String> {
    let value = node.attribute(name).map(str::to_owned);
    value.ok_or_else(|| format!("{} has no {name}", node.tag_name().name()))
}

/// The answer to a request.
pub(super) fn answer(action: &str, relates_to: &str, body: &str) -> String {
    format!(
        "<s:Envelope xml:lang=\"en-US\" xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\" \
         xmlns:a=\"http://schemas.xmlsoap.org/ws/2004/08/addressing\" xmlns:x=\"{TRANSFER}\" \
         xmlns:w=\"http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd\" xmlns:rsp=\"{SHELL_NS}\">\
         <s:Header><a:Action>{action}</a:Action><a:MessageID>uuid:{}</a:MessageID>\
         <a:To>http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous</a:To>\
         <a:RelatesTo>{}</a:RelatesTo></s:Header><s:Body>{body}</s:Body></s:Envelope>",
        id(),
        escape(relates_to),
    )
}

pub(super) fn created(relates_to: &str, shell: &str) -> String {
    let body = format!(
        "<x:ResourceCreated><a:Address>http://127.0.0.1/wsman</a:Address><a:ReferenceParameters>\
         <w:ResourceURI>{CMD}</w:ResourceURI><w:SelectorSet><w:Selector Name=\"ShellId\">{shell}</w:Selector></w:SelectorSet>\
         </a:ReferenceParameters></x:ResourceCreated><rsp:Shell><rsp:ShellId>{shell}</rsp:ShellId>\
         <rsp:ResourceUri>{CMD}</rsp:ResourceUri></rsp:Shell>"
    );
    answer(&format!("{TRANSFER}/CreateResponse"), relates_to, &body)
}

pub(super) fn started(relates_to: &str, command: &str) -> String {
    let body = format!("<rsp:CommandResponse><rsp:CommandId>{command}</rsp:CommandId></rsp:CommandResponse>");
    answer(&format!("{SHELL_NS}/CommandResponse"), relates_to, &body)
}

/// Output, and the exit code when that was all.
pub(super) fn received(relates_to: &str, command: &str, pieces: &[(&str, Bytes)], exit: Option<u32>) -> String {
    let mut body = String::from("<rsp:ReceiveResponse>");
    for (name, bytes) in pieces {
        let encoded = STANDARD.encode(bytes);
        // Writing to a string cannot fail.
        let _ = write!(
            body,
            "<rsp:Stream Name=\"{name}\" CommandId=\"{command}\">{encoded}</rsp:Stream>"
        );
    }
    let state = if exit.is_some() { "Done" } else { "Running" };
    if exit.is_some() {
        for name in ["stdout", "stderr"] {
            let _ = write!(
                body,
                "<rsp:Stream Name=\"{name}\" CommandId=\"{command}\" End=\"true\"></rsp:Stream>"
            );
        }
    }
    let _ = write!(
        body,
        "<rsp:CommandState CommandId=\"{command}\" State=\"{SHELL_NS}/CommandState/{state}\">"
    );
    if let Some(exit) = exit {
        // Windows prints it with a sign.
        let _ = write!(body, "<rsp:ExitCode>{}</rsp:ExitCode>", exit.cast_signed());
    }
    body.push_str("</rsp:CommandState></rsp:ReceiveResponse>");
    answer(&format!("{SHELL_NS}/ReceiveResponse"), relates_to, &body)
}

pub(super) fn empty(relates_to: &str, name: &str) -> String {
    if name == "Delete" {
        return answer(&format!("{TRANSFER}/DeleteResponse"), relates_to, "");
    }
    answer(
        &format!("{SHELL_NS}/{name}Response"),
        relates_to,
        &format!("<rsp:{name}Response/>"),
    )
}

pub(super) fn fault(relates_to: &str, fault: Fault, detail: &str) -> String {
    let Fault { code, subcode, reason } = fault;
    let body = format!(
        "<s:Fault><s:Code><s:Value>s:Receiver</s:Value><s:Subcode><s:Value>{subcode}</s:Value></s:Subcode></s:Code>\
         <s:Reason><s:Text xml:lang=\"en-US\">{reason} {detail}</s:Text></s:Reason><s:Detail>\
         <f:WSManFault xmlns:f=\"http://schemas.microsoft.com/wbem/wsman/1/wsmanfault\" Code=\"{code}\" Machine=\"test\">\
         <f:Message>{reason} {detail}</f:Message></f:WSManFault></s:Detail></s:Fault>",
        detail = escape(detail),
    );
    answer(FAULT_ACTION, relates_to, &body)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// An id as Windows writes it.
pub(super) fn id() -> String {
    let bits = fastrand::u128(..);
    let text = format!("{bits:032X}");
    [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        assert_eq!(duration("PT60S"), Ok(Duration::from_mins(1)));
        assert_eq!(duration("PT30M"), Ok(Duration::from_mins(30)));
        assert_eq!(duration("PT1H0.5S"), Ok(Duration::from_millis(3_600_500)));
        duration("30").unwrap_err();
    }
}
