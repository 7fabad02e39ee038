-- The ledger of one exchange. docs/ledger.md has it as tables.
--
-- Cash is counted in minor units (10^-digits of the currency), positions in shares; asset 0 is cash, asset n + 1 is symbol n.
-- An entry is what one record of the audit log causes, and is named by its sequence.
-- Whatever is inserted into ledger_entry moves the balances in the same statement, or is refused as a whole.

CREATE TABLE ledger_meta (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version integer NOT NULL,
    digits integer NOT NULL
);

CREATE TABLE ledger_account (
    account integer PRIMARY KEY,
    name text NOT NULL UNIQUE
);

CREATE TABLE ledger_asset (
    asset integer PRIMARY KEY,
    name text NOT NULL UNIQUE
);

-- source audit-log, partition 0: the place in the log, whatever it was read from. source kafka:TOPIC: the place in each partition.
CREATE TABLE ledger_offset (
    source text NOT NULL DEFAULT 'audit-log',
    partition integer NOT NULL,
    next_offset bigint NOT NULL,
    last_sequence bigint NOT NULL,
    last_hash bigint NOT NULL,
    PRIMARY KEY (source, partition)
);

-- account -1 is equity: where opening balances come from. It alone may be negative.
CREATE TABLE ledger_balance (
    account integer NOT NULL REFERENCES ledger_account,
    asset integer NOT NULL REFERENCES ledger_asset,
    balance numeric(40, 0) NOT NULL,
    reserved numeric(40, 0) NOT NULL,
    PRIMARY KEY (account, asset),
    CONSTRAINT ledger_no_overdraft CHECK (account = -1 OR balance >= 0),
    CONSTRAINT ledger_no_negative_reserve CHECK (reserved >= 0)
) WITH (fillfactor = 50);

-- One row is one entry, with what it moves for the buyer and for the seller; of an order's accept, replace or cancel there is one of them.
-- kind: 0 opening, 1 accepted, 3 replaced, 4 trade, 5 cancelled. In an opening the account takes from equity, the seller.
CREATE TABLE ledger_entry (
    sequence bigint PRIMARY KEY,
    kind smallint NOT NULL,
    asset integer NOT NULL,
    buyer integer,
    buy_order bigint,
    buyer_cash numeric,
    buyer_cash_reserved numeric,
    buyer_shares numeric,
    seller integer,
    sell_order bigint,
    seller_cash numeric,
    seller_shares numeric,
    seller_shares_reserved numeric,
    CONSTRAINT ledger_whole CHECK (
        (buyer IS NULL) = (buyer_cash IS NULL) AND (buyer IS NULL) = (buyer_cash_reserved IS NULL)
        AND (buyer IS NULL) = (buyer_shares IS NULL) AND (seller IS NULL) = (seller_cash IS NULL)
        AND (seller IS NULL) = (seller_shares IS NULL) AND (seller IS NULL) = (seller_shares_reserved IS NULL)),
    CONSTRAINT ledger_sums_to_zero CHECK (
        CASE WHEN seller IS NULL THEN buyer_cash + buyer_cash_reserved = 0 AND buyer_shares = 0
             WHEN buyer IS NULL THEN seller_cash = 0 AND seller_shares + seller_shares_reserved = 0
             ELSE buyer_cash + buyer_cash_reserved + seller_cash = 0
                 AND buyer_shares + seller_shares + seller_shares_reserved = 0 END)
);

CREATE FUNCTION ledger_apply() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    WITH part AS (
        SELECT buyer AS account, 0 AS asset, buyer_cash AS balance, buyer_cash_reserved AS reserved
        FROM new_entries WHERE buyer IS NOT NULL
        UNION ALL
        SELECT buyer, asset, buyer_shares, 0 FROM new_entries WHERE buyer_shares <> 0
        UNION ALL
        SELECT seller, 0, seller_cash, 0 FROM new_entries WHERE seller_cash <> 0
        UNION ALL
        SELECT seller, asset, seller_shares, seller_shares_reserved FROM new_entries WHERE seller IS NOT NULL AND asset <> 0
    ), moved AS MATERIALIZED (
        SELECT account, asset, sum(balance) AS balance, sum(reserved) AS reserved FROM part GROUP BY account, asset
    ), updated AS (
        UPDATE ledger_balance AS b SET balance = b.balance + m.balance, reserved = b.reserved + m.reserved
        FROM moved AS m WHERE b.account = m.account AND b.asset = m.asset
        RETURNING b.account, b.asset
    )
    INSERT INTO ledger_balance (account, asset, balance, reserved)
    SELECT m.account, m.asset, m.balance, m.reserved FROM moved AS m
    WHERE NOT EXISTS (SELECT FROM updated AS u WHERE u.account = m.account AND u.asset = m.asset);
    RETURN NULL;
END $$;

CREATE TRIGGER ledger_apply AFTER INSERT ON ledger_entry
    REFERENCING NEW TABLE AS new_entries FOR EACH STATEMENT EXECUTE FUNCTION ledger_apply();

CREATE FUNCTION ledger_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'ledger: an entry is never changed or taken back; enter another one' USING ERRCODE = 'check_violation';
END $$;

CREATE TRIGGER ledger_refuse BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_entry
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse();

CREATE VIEW ledger_balances AS
    SELECT a.name AS account, s.name AS asset, b.balance, b.reserved
    FROM ledger_balance AS b JOIN ledger_account AS a USING (account) JOIN ledger_asset AS s USING (asset);

-- What each entry moves, an amount a row: of one entry and asset they sum to zero. part: free or reserved.
CREATE VIEW ledger_postings AS
    SELECT e.sequence, e.kind, a.name AS account, s.name AS asset, p.part, p.amount, p.order_id
    FROM ledger_entry AS e
    CROSS JOIN LATERAL (VALUES
        (e.buyer, 0, 'free', e.buyer_cash, e.buy_order), (e.buyer, 0, 'reserved', e.buyer_cash_reserved, e.buy_order),
        (e.buyer, e.asset, 'free', e.buyer_shares, e.buy_order), (e.seller, 0, 'free', e.seller_cash, e.sell_order),
        (e.seller, e.asset, 'free', e.seller_shares, e.sell_order),
        (e.seller, e.asset, 'reserved', e.seller_shares_reserved, e.sell_order))
        AS p (account, asset, part, amount, order_id)
    JOIN ledger_account AS a ON a.account = p.account JOIN ledger_asset AS s ON s.asset = p.asset
    WHERE p.amount <> 0;

-- What each order has reserved, used for its trades and given back, and what it still holds: cash of a buy, shares of a sell.
CREATE VIEW ledger_orders AS
    SELECT order_id, account, sum(amount) FILTER (WHERE part = 'reserved' AND kind IN (1, 3)) AS reserved,
        -sum(amount) FILTER (WHERE part = 'reserved' AND kind = 4) AS used,
        -sum(amount) FILTER (WHERE part = 'reserved' AND kind = 5) AS released,
        coalesce(sum(amount) FILTER (WHERE part = 'reserved'), 0) AS held
    FROM ledger_postings WHERE kind <> 0 GROUP BY order_id, account;
