//! `console`: evaluates expressions, one a line. At a terminal with history and completion; in a pipe only the last value is printed.

mod editor;

use bakelite_template::console::{Console, Reply};
use bakelite_template::{Purpose, UndeclaredVariables};

use super::print_exactly;
use crate::args::ConsoleArgs;
use crate::cloud;
use crate::exit::{Failure, Status};
use crate::process::Process;
use crate::reading::{Reading, invocation, standard_input};
use crate::registry::registry;
use crate::world::World;

const HELP: &str = "\
An expression is evaluated with the template's variables and locals: upper(var.name)
  variables   lists the variables
  exit        leaves, as Ctrl-D does
  help        is this text";

pub(super) async fn run(args: ConsoleArgs, process: &Process) -> Result<Status, Failure> {
    let invocation = invocation(
        args.template,
        args.path.unwrap_or_default(),
        Purpose::Console,
        UndeclaredVariables::Ignore,
        process,
    )?;
    let mut reading = Reading::default();
    let Some(template) = reading.open(&invocation, process) else {
        return Ok(Status::Failed);
    };
    let registry = registry();
    let (run, cloud) = cloud::place(&args.place, process).await?;
    let world = World {
        registry: &registry,
        run: &run,
    };
    let mut session = Session {
        console: template.console(&registry, &world).await,
        world,
        reading,
        process,
    };
    let status = if process.input_is_terminal {
        session.interactive().await
    } else {
        session.piped(&standard_input()?).await
    };
    if let Some(cloud) = cloud {
        cloud.shutdown().await;
    }
    status
}

/// A console with the texts that were typed into it.
struct Session<'a> {
    console: Console,
    world: World<'a>,
    reading: Reading,
    process: &'a Process,
}

impl Session<'_> {
    /// Evaluates every line and prints the last value. An error in any line is the program's; `exit` has no meaning in a pipe.
    async fn piped(&mut self, text: &str) -> Result<Status, Failure> {
        let mut status = Status::Ok;
        let mut last = Some(Reply::Text(String::new()));
        for line in text.lines() {
            last = self.evaluate(line).await;
            if last.is_none() {
                status = Status::Failed;
            }
        }
        if let Some(reply) = last {
            print_exactly(&format!("{}\n", shown(&reply)));
        }
        Ok(status)
    }

    async fn interactive(&mut self) -> Result<Status, Failure> {
        let mut editor = editor::Editor::open(
            self.process.state_directory()?.join("console-history"),
            self.console.names(),
        )?;
        while let Some(line) = editor.line()? {
            match self.evaluate(&line).await {
                Some(Reply::Exit) => break,
                Some(reply) => print_exactly(&format!("{}\n", shown(&reply))),
                None => {}
            }
        }
        editor.close();
        Ok(Status::Ok)
    }

    async fn evaluate(&mut self, line: &str) -> Option<Reply> {
        let reading = &mut self.reading;
        let reply = self
            .console
            .evaluate(line, &self.world, &mut reading.sources, &mut reading.diagnostics)
            .await;
        reading.say(self.process);
        reply
    }
}

fn shown(reply: &Reply) -> &str {
    match reply {
        Reply::Text(text) => text,
        Reply::Help => HELP,
        Reply::Exit => "",
    }
}
