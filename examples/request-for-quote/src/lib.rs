//! A request for quotes: a client asks, dealers append their prices, the client awards one.
//!
//! One record is the whole history of one request.

use lockstep_contract::prelude::*;

#[derive(Deserialize)]
struct Request {
    symbol: String,
    dealers: Vec<String>,
}

/// The client asks for quotes and says which dealers may answer.
fn request(cx: &mut Context, args: Request) -> Outcome {
    cx.require(!cx.exists(), "requested_already", "this request is there already")?;
    cx.require_role("client")?;
    cx.set("request", &json!({"symbol": args.symbol, "status": "open"}))?;
    cx.set("quotes", &json!([]))?;
    cx.set("summary", &Summary::default())?;
    cx.grant("client", cx.actor())?;
    for dealer in &args.dealers {
        cx.grant("dealer", dealer)?;
    }
    cx.notify("request", "request.opened", &json!({"symbol": args.symbol}))
}

#[derive(Deserialize)]
struct Quote {
    symbol: String,
    price: Decimal,
    date: String,
}

/// What the client wants to see at a glance, kept up with every quote.
#[derive(Default, Deserialize, Serialize)]
struct Summary {
    quotes: u64,
    best_price: Option<Decimal>,
    last_date: Option<String>,
}

/// A dealer names a price for a day.
fn quote(cx: &mut Context, args: Quote) -> Outcome {
    cx.require_role("dealer")?;
    open(cx)?;
    cx.require(args.price.is_positive(), "no_price", "a price is more than nothing")?;
    let symbol: String = cx.read("request", "/symbol")?;
    if args.symbol != symbol {
        return reject("other_symbol", format!("this request is for {symbol}, not for {}", args.symbol));
    }
    let quote = json!({"dealer": cx.actor(), "price": args.price, "date": args.date, "time": cx.time()});
    cx.append("quotes", "", &quote)?;

    let mut summary: Summary = cx.read("summary", "")?;
    summary.quotes += 1;
    summary.best_price = Some(summary.best_price.map_or(args.price, |best| best.min(args.price)));
    summary.last_date = summary.last_date.max(Some(args.date));
    cx.set("summary", &summary)?;
    cx.notify("quotes", "quote.made", &quote)
}

#[derive(Deserialize, PartialEq)]
struct Award {
    dealer: String,
    price: Decimal,
}

/// The client takes a quote that was really made; after that there are no more.
fn award(cx: &mut Context, args: Award) -> Outcome {
    cx.require_role("client")?;
    open(cx)?;
    let quotes: Vec<Award> = cx.read("quotes", "")?;
    if !quotes.contains(&args) {
        return reject("no_such_quote", format!("{} never quoted {}", args.dealer, args.price));
    }
    cx.replace("request", "/status", "awarded")?;
    cx.add("request", "/awarded", &json!({"dealer": args.dealer, "price": args.price, "time": cx.time()}))?;
    cx.notify("request", "request.awarded", &json!({"dealer": args.dealer, "price": args.price}))
}

fn open(cx: &Context) -> Outcome {
    let status: String = cx.read("request", "/status")?;
    cx.require(status == "open", "not_open", "this request has been awarded")
}

lockstep_contract::contract!(request, quote, award);
