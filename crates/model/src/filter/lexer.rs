//! The words of an expression: text to tokens, each with its column.
//!
//! It exists apart from the grammar so that blanks, comments and quoting are settled in one place, and so that every
//! fault can be told with the column it begins at.

use super::parser::Fault;
use nom::branch::alt;
use nom::bytes::complete::{is_not, tag, take_until, take_while, take_while1};
use nom::character::complete::{char, digit0, digit1, multispace1, one_of, satisfy};
use nom::combinator::{not, opt, recognize, value};
use nom::multi::{fold_many0, many0_count};
use nom::sequence::{delimited, pair, preceded, terminated};
use nom::{IResult, Parser};

/// One token.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// A keyword or an identifier.
    Word(String),
    /// An identifier in double quotes.
    Quoted(String),
    /// Text in single quotes.
    Text(String),
    Integer(i64),
    Decimal(f64),
    /// An operator, a parenthesis or a comma.
    Symbol(&'static str),
    End,
}

/// A token and the column it begins at, counted in characters from 1.
#[derive(Debug, Clone)]
pub(super) struct Located {
    pub(super) token: Token,
    pub(super) column: usize,
}

/// Longer ones first, so that `<=` is not read as `<`.
const SYMBOLS: [&str; 13] = ["<>", "<=", ">=", "=", "<", ">", "(", ")", ",", "+", "-", "*", "/"];

/// Splits an expression; the last token is [`Token::End`].
pub(super) fn tokens(expression: &str) -> Result<Vec<Located>, Fault> {
    let column = |rest: &str| {
        let read = expression.len() - rest.len();
        expression.get(..read).map_or(0, |before| before.chars().count()) + 1
    };
    let mut tokens = Vec::new();
    let mut rest = expression;
    loop {
        rest = blanks(rest).map_or(rest, |(after, ())| after);
        let at = column(rest);
        if rest.is_empty() {
            tokens.push(Located { token: Token::End, column: at });
            return Ok(tokens);
        }
        let Ok((after, token)) = token(rest) else { return Err(Fault::new(at, why_not(rest))) };
        let token = token.map_err(|why| Fault::new(at, why))?;
        tokens.push(Located { token, column: at });
        rest = after;
    }
}

/// Blanks and comments.
fn blanks(input: &str) -> IResult<&str, ()> {
    let line = recognize(pair(tag("--"), take_while(|c| c != '\n' && c != '\r')));
    let block = recognize((tag("/*"), take_until("*/"), tag("*/")));
    value((), many0_count(alt((multispace1, line, block)))).parse(input)
}

type Read = Result<Token, &'static str>;

fn token(input: &str) -> IResult<&str, Read> {
    alt((
        word.map(|w| Ok(Token::Word(w.to_owned()))),
        number,
        quoted('\'').map(|text| Ok(Token::Text(text))),
        quoted('"').map(|name| Ok(Token::Quoted(name))),
        symbol.map(|s| Ok(Token::Symbol(s))),
    ))
    .parse(input)
}

fn word(input: &str) -> IResult<&str, &str> {
    let start = satisfy(|c| c.is_ascii_alphabetic() || c == '_' || c == '$');
    recognize(pair(start, take_while(is_word))).parse(input)
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '$'
}

/// The text that a parser has taken. By its length: at the end of a text, `digit0` leaves a rest that does not stand
/// behind what it took, and nom's own `recognize` compares addresses.
fn read<'a>(
    mut parser: impl Parser<&'a str, Error = nom::error::Error<&'a str>>,
) -> impl FnMut(&'a str) -> IResult<&'a str, &'a str> {
    move |input| {
        let (rest, _) = parser.parse(input)?;
        Ok((rest, input.get(..input.len() - rest.len()).unwrap_or_default()))
    }
}

/// `12`, `12L`, `1.5`, `.5`, `1e3`; a sign is an operator.
fn number(input: &str) -> IResult<&str, Read> {
    let exponent = || value((), (one_of("eE"), opt(one_of("+-")), digit1));
    let fraction = alt((
        value((), (digit1, char('.'), digit0, opt(exponent()))),
        value((), (char('.'), digit1, opt(exponent()))),
        value((), (digit1, exponent())),
    ));
    let decimal = read(fraction).map(|text: &str| match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(Token::Decimal(number)),
        _ => Err("the number is too large"),
    });
    let integer = terminated(digit1, opt(one_of("lL")))
        .map(|text: &str| text.parse().map(Token::Integer).map_err(|_| "the number has more than 64 bits"));
    terminated(alt((decimal, integer)), not(satisfy(is_word))).parse(input)
}

/// Text between two marks; a mark within is written twice.
fn quoted<'a>(mark: char) -> impl Parser<&'a str, Output = String, Error = nom::error::Error<&'a str>> {
    let twice: &'static str = if mark == '"' { "\"\"" } else { "''" };
    let once: &'static str = if mark == '"' { "\"" } else { "'" };
    let piece = alt((is_not(once), value(once, tag(twice))));
    let inside = fold_many0(piece, String::new, |mut text, piece: &str| {
        text.push_str(piece);
        text
    });
    delimited(char(mark), inside, char(mark))
}

fn symbol(input: &str) -> IResult<&str, &'static str> {
    for symbol in SYMBOLS {
        if let Ok((rest, _)) = tag::<_, _, nom::error::Error<&str>>(symbol).parse(input) {
            // `==` and the like are habits of other languages, not two operators; `/*` is a comment without an end.
            let never = if symbol == "/" { "=!~*" } else { "=!~" };
            return preceded(not(one_of(never)), nom::combinator::success(symbol)).parse(rest);
        }
    }
    Err(nom::Err::Error(nom::error::Error::new(input, nom::error::ErrorKind::Tag)))
}

/// What is wrong with a text that is no token.
fn why_not(rest: &str) -> String {
    let other = |text: &str| rest.starts_with(text);
    if other("'") || other("\"") {
        "a quote that is not closed".into()
    } else if other("==") {
        "\"==\" is no operator; equality is \"=\"".into()
    } else if other("!=") {
        "\"!=\" is no operator; inequality is \"<>\"".into()
    } else if other("/*") {
        "a comment that is not closed".into()
    } else if rest.trim_start_matches('.').len() + 1 >= rest.len()
        && rest.trim_start_matches('.').starts_with(|c: char| c.is_ascii_digit())
    {
        let run = take_while1::<_, _, nom::error::Error<&str>>(|c| is_word(c) || c == '.').parse(rest);
        format!("{:?} is no number", run.map_or(rest, |(_, run)| run))
    } else {
        format!("unexpected {:?}", rest.chars().next().unwrap_or_default())
    }
}
