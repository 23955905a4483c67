//! What a WS-Man service answers. The texts come from the other side: nothing of them is trusted, and none makes us panic.

use bakelite_engine::communicator::Output;
use bakelite_engine::untrusted::quoted;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use roxmltree::{Document, Node};

use super::xml::{self, XmlError};

/// Nothing to answer within the time of the operation: to be asked again.
const TIMED_OUT: u32 = 0x8033_8029;
/// There is no such shell.
const NO_SUCH_SHELL: u32 = 0x8033_805b;
/// The operation was ended from outside, as by a service that stops.
const ABORTED: [u32; 2] = [0x3e3, 0x8007_03e3];
/// The machine is going down.
const GOING_DOWN: [u32; 2] = [0x45b, 0x8007_045b];

/// Why an answer cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// It is not XML.
    #[error("the answer is not XML")]
    Xml(#[from] XmlError),
    /// It lacks something.
    #[error("the answer has no `{0}`")]
    Missing(&'static str),
    /// A value in it cannot be parsed.
    #[error("`{0}` of the answer cannot be read")]
    Garbled(&'static str),
}

/// A refusal of the service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}{}", if *code == 0 { String::new() } else { format!(" (code {code})") })]
pub struct Fault {
    /// Microsoft's number for it; 0 when there is none.
    pub code: u32,
    /// The service's description, quoted.
    pub reason: String,
}

impl Fault {
    /// Does asking again help?
    pub(crate) fn is_timeout(&self) -> bool {
        self.code == TIMED_OUT
    }

    /// Is the command gone, with its shell or with the whole machine?
    pub(crate) fn is_gone(&self) -> bool {
        self.code == NO_SUCH_SHELL || ABORTED.contains(&self.code) || GOING_DOWN.contains(&self.code)
    }
}

/// What a command has printed since the last time.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Received {
    /// Pieces in order.
    pub(crate) output: Vec<Output>,
    /// The exit code, when it has ended.
    pub(crate) exit: Option<u32>,
}

/// The id of a shell that was opened.
pub(crate) fn shell_id(text: &str) -> Result<String, AnswerError> {
    let document = parse(text)?;
    let selector = document
        .descendants()
        .find(|node| node.attribute("Name") == Some("ShellId"));
    let found = selector.or_else(|| element(document.root(), "ShellId")).map(inner);
    found.filter(|id| !id.is_empty()).ok_or(AnswerError::Missing("ShellId"))
}

/// The id of a command that was started.
pub(crate) fn command_id(text: &str) -> Result<String, AnswerError> {
    let document = parse(text)?;
    let found = element(document.root(), "CommandId").map(inner);
    found
        .filter(|id| !id.is_empty())
        .ok_or(AnswerError::Missing("CommandId"))
}

/// The output of a command.
pub(crate) fn received(text: &str) -> Result<Received, AnswerError> {
    let document = parse(text)?;
    let response = element(document.root(), "ReceiveResponse").ok_or(AnswerError::Missing("ReceiveResponse"))?;
    let mut received = Received::default();
    for stream in response.children().filter(|node| is(*node, "Stream")) {
        let bytes = STANDARD
            .decode(inner(stream))
            .map_err(|_| AnswerError::Garbled("Stream"))?;
        if bytes.is_empty() {
            continue;
        }
        received.output.push(match stream.attribute("Name") {
            Some("stderr") => Output::Stderr(bytes.into()),
            _ => Output::Stdout(bytes.into()),
        });
    }
    let state = element(response, "CommandState");
    if state
        .and_then(|state| state.attribute("State"))
        .is_some_and(|state| state.ends_with("CommandState/Done"))
    {
        let code = state.and_then(|state| element(state, "ExitCode")).map(inner);
        received.exit = Some(exit_code(&code.ok_or(AnswerError::Missing("ExitCode"))?)?);
    }
    Ok(received)
}

/// A number of 32 bits, with a sign or without.
fn exit_code(text: &str) -> Result<u32, AnswerError> {
    let code: i64 = text.parse().map_err(|_| AnswerError::Garbled("ExitCode"))?;
    u32::try_from(code)
        .or_else(|_| i32::try_from(code).map(i32::cast_unsigned))
        .map_err(|_| AnswerError::Garbled("ExitCode"))
}

/// The fault that an answer is; nothing when it is none.
pub(crate) fn fault(text: &str) -> Option<Fault> {
    let document = parse(text).ok()?;
    let fault = element(document.root(), "Fault")?;
    let detail = element(fault, "WSManFault");
    let code = detail
        .and_then(|detail| detail.attribute("Code"))
        .and_then(|code| code.parse().ok());
    let reason = element(fault, "Text").map(inner).filter(|text| !text.is_empty());
    let reason = reason.or_else(|| detail.map(inner)).unwrap_or_default();
    Some(Fault {
        code: code.unwrap_or(0),
        reason: quoted(&reason.split_whitespace().collect::<Vec<_>>().join(" ")),
    })
}

fn parse(text: &str) -> Result<Document<'_>, AnswerError> {
    Ok(xml::parse(text)?)
}

fn is(node: Node<'_, '_>, name: &str) -> bool {
    node.is_element() && node.tag_name().name() == name
}

fn element<'a, 'input>(node: Node<'a, 'input>, name: &str) -> Option<Node<'a, 'input>> {
    node.descendants().find(|node| is(*node, name))
}

/// All text of an element, without the space around it.
fn inner(node: Node<'_, '_>) -> String {
    let text: String = node
        .descendants()
        .filter(Node::is_text)
        .filter_map(|text| text.text())
        .collect();
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RECEIVED: &str = r#"<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:rsp="urn:x"><s:Body>
        <rsp:ReceiveResponse><rsp:Stream Name="stdout" CommandId="C">w6Q=</rsp:Stream>
        <rsp:Stream Name="stderr" CommandId="C">eA==</rsp:Stream><rsp:Stream Name="stdout" CommandId="C" End="true"/>
        <rsp:CommandState CommandId="C" State="http://schemas.microsoft.com/wbem/wsman/1/windows/shell/CommandState/Done">
        <rsp:ExitCode>-1073741510</rsp:ExitCode></rsp:CommandState></rsp:ReceiveResponse></s:Body></s:Envelope>"#;

    #[test]
    fn output_and_exit_code_are_read() {
        let expected = vec![Output::Stdout("ä".into()), Output::Stderr("x".into())];
        let received = received(RECEIVED).unwrap();
        assert_eq!(
            received,
            Received {
                output: expected,
                exit: Some(0xc000_013a)
            }
        );
    }

    #[test]
    fn faults_are_told_by_their_number() {
        let text = r#"<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body><s:Fault><s:Reason>
            <s:Text xml:lang="en">too
            late </s:Text></s:Reason><s:Detail><f:WSManFault xmlns:f="urn:f" Code="2150858793"/></s:Detail></s:Fault></s:Body></s:Envelope>"#;
        let fault = fault(text).unwrap();
        assert!(fault.is_timeout() && !fault.is_gone());
        assert_eq!(fault.to_string(), "too late (code 2150858793)");
        assert_eq!(super::fault(RECEIVED), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in ".*") {
            let _ = (shell_id(&text), command_id(&text), received(&text), fault(&text));
        }

        #[test]
        fn no_damage_makes_the_parser_panic(at in 0..RECEIVED.len(), with in "[\\PC<>&\"/]{0,4}", cut in 0..RECEIVED.len()) {
            prop_assume!(RECEIVED.is_char_boundary(at) && RECEIVED.is_char_boundary(cut));
            let text = format!("{}{with}{}", &RECEIVED[..at], &RECEIVED[at.max(cut)..]);
            let _ = (shell_id(&text), command_id(&text), received(&text), fault(&text));
        }
    }
}
