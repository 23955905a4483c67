//! The requests of MS-WSMV as SOAP envelopes.

use bakelite_scripts::quote::xml;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The shell that runs commands through `cmd`.
const RESOURCE: &str = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/cmd";
const SHELL: &str = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell";
const TRANSFER: &str = "http://schemas.xmlsoap.org/ws/2004/09/transfer";

/// The largest answer that we take, and the largest request that every service takes, in bytes.
pub(crate) const MAX_ENVELOPE_SIZE: usize = 153_600;

/// How long an operation may wait for something to answer, in seconds. Longer waits are made of several: a short one ends before
/// proxies and firewalls time out, and shows soon that the instance is gone. (Packer waits for `winrm_timeout` at a time.)
pub(crate) const OPERATION_TIMEOUT: u32 = 60;

/// Makes requests for one service.
#[derive(Debug, Clone)]
pub(crate) struct Envelopes {
    /// The URL of the service.
    pub(crate) to: String,
}

impl Envelopes {
    /// Opens a shell, with UTF-8 in both directions.
    pub(crate) fn create(&self) -> String {
        let options =
            "<w:Option Name=\"WINRS_NOPROFILE\">FALSE</w:Option><w:Option Name=\"WINRS_CODEPAGE\">65001</w:Option>";
        let body =
            "<r:Shell><r:InputStreams>stdin</r:InputStreams><r:OutputStreams>stdout stderr</r:OutputStreams></r:Shell>";
        self.envelope(&format!("{TRANSFER}/Create"), None, options, body)
    }

    /// Deletes a shell, with all that runs in it.
    pub(crate) fn delete(&self, shell: &str) -> String {
        self.envelope(&format!("{TRANSFER}/Delete"), Some(shell), "", "")
    }

    /// Starts a command. `console`: its input is that of a console and not a pipe.
    pub(crate) fn command(&self, shell: &str, command: &str, console: bool) -> String {
        let console = if console { "TRUE" } else { "FALSE" };
        let options = format!(
            "<w:Option Name=\"WINRS_CONSOLEMODE_STDIN\">{console}</w:Option><w:Option Name=\"WINRS_SKIP_CMD_SHELL\">FALSE</w:Option>"
        );
        let body = format!("<r:CommandLine><r:Command>{}</r:Command></r:CommandLine>", xml(command));
        self.envelope(&format!("{SHELL}/Command"), Some(shell), &options, &body)
    }

    /// Asks for output.
    pub(crate) fn receive(&self, shell: &str, command: &str) -> String {
        let body = format!(
            "<r:Receive><r:DesiredStream CommandId=\"{}\">stdout stderr</r:DesiredStream></r:Receive>",
            xml(command)
        );
        self.envelope(&format!("{SHELL}/Receive"), Some(shell), "", &body)
    }

    /// Sends input; `end`: and there is no more.
    pub(crate) fn send(&self, shell: &str, command: &str, bytes: &[u8], end: bool) -> String {
        let end = if end { " End=\"true\"" } else { "" };
        let body = format!(
            "<r:Send><r:Stream Name=\"stdin\" CommandId=\"{}\"{end}>{}</r:Stream></r:Send>",
            xml(command),
            STANDARD.encode(bytes)
        );
        self.envelope(&format!("{SHELL}/Send"), Some(shell), "", &body)
    }

    /// Ends a command.
    pub(crate) fn terminate(&self, shell: &str, command: &str) -> String {
        let body = format!(
            "<r:Signal CommandId=\"{}\"><r:Code>{SHELL}/signal/terminate</r:Code></r:Signal>",
            xml(command)
        );
        self.envelope(&format!("{SHELL}/Signal"), Some(shell), "", &body)
    }

    fn envelope(&self, action: &str, shell: Option<&str>, options: &str, body: &str) -> String {
        let selectors = shell.map_or_else(String::new, |shell| {
            format!(
                "<w:SelectorSet><w:Selector Name=\"ShellId\">{}</w:Selector></w:SelectorSet>",
                xml(shell)
            )
        });
        let options = if options.is_empty() {
            String::new()
        } else {
            format!("<w:OptionSet>{options}</w:OptionSet>")
        };
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
             <s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\" \
             xmlns:a=\"http://schemas.xmlsoap.org/ws/2004/08/addressing\" \
             xmlns:w=\"http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd\" \
             xmlns:p=\"http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd\" xmlns:r=\"{SHELL}\"><s:Header>\
             <a:To>{to}</a:To><a:ReplyTo><a:Address s:mustUnderstand=\"true\">\
             http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous</a:Address></a:ReplyTo>\
             <w:MaxEnvelopeSize s:mustUnderstand=\"true\">{MAX_ENVELOPE_SIZE}</w:MaxEnvelopeSize>\
             <a:MessageID>uuid:{id}</a:MessageID><w:Locale xml:lang=\"en-US\" s:mustUnderstand=\"false\"/>\
             <p:DataLocale xml:lang=\"en-US\" s:mustUnderstand=\"false\"/>\
             <w:OperationTimeout>PT{OPERATION_TIMEOUT}S</w:OperationTimeout>\
             <w:ResourceURI s:mustUnderstand=\"true\">{RESOURCE}</w:ResourceURI>\
             <a:Action s:mustUnderstand=\"true\">{action}</a:Action>{selectors}{options}</s:Header>\
             <s:Body>{body}</s:Body></s:Envelope>",
            to = xml(&self.to),
            id = uuid::Uuid::new_v4(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_command_makes_an_envelope_that_says_it(command in "[^\0-\u{8}\u{b}\u{c}\u{e}-\u{1f}\u{fffe}\u{ffff}]*") {
            let envelopes = Envelopes { to: "http://h:5985/wsman".into() };
            let text = envelopes.command("S", &command, true);
            let document = roxmltree::Document::parse(&text).unwrap();
            let said = document.descendants().find(|node| node.tag_name().name() == "Command").unwrap();
            prop_assert_eq!(said.text().unwrap_or_default(), command);
        }
    }

    #[test]
    fn what_xml_cannot_have_does_not_break_the_envelope() {
        let envelopes = Envelopes {
            to: "http://h:5985/wsman".into(),
        };
        let text = envelopes.command("S", "a\0b\u{1b}]]>c", true);
        roxmltree::Document::parse(&text).unwrap();
    }
}
