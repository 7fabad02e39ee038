-- The ledger of one exchange. docs/ledger.md has it as tables.
--
-- Cash is counted in minor units (10^-digits of the currency), positions in shares; asset 0 is cash, asset n + 1 is symbol n.
-- A line is one party's part of an entry; an entry is what one record of the audit log causes, and is named by its sequence.
-- Whatever is inserted into ledger_line moves the balances in the same statement, or is refused as a whole.

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

CREATE TABLE ledger_offset (
    partition integer PRIMARY KEY,
    next_offset bigint NOT NULL,
    last_sequence bigint NOT NULL,
    last_hash bigint NOT NULL
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

-- kind: 0 opening, 1 accepted, 3 replaced, 4 trade, 5 cancelled. side: 0 buyer, 1 seller.
CREATE TABLE ledger_line (
    sequence bigint NOT NULL,
    side smallint NOT NULL,
    kind smallint NOT NULL,
    account integer NOT NULL,
    asset integer NOT NULL,
    order_id bigint NOT NULL,
    cash numeric NOT NULL,
    cash_reserved numeric NOT NULL,
    shares numeric NOT NULL,
    shares_reserved numeric NOT NULL,
    PRIMARY KEY (sequence, side)
);

CREATE FUNCTION ledger_apply() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    wrong bigint;
BEGIN
    SELECT sequence INTO wrong FROM new_lines GROUP BY sequence
    HAVING sum(cash + cash_reserved) <> 0 OR sum(shares + shares_reserved) <> 0 OR min(asset) <> max(asset)
    ORDER BY sequence LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'ledger: the lines of entry % do not sum to zero', wrong USING ERRCODE = 'check_violation';
    END IF;
    WITH moved AS MATERIALIZED (
        SELECT account, 0 AS asset, sum(cash) AS balance, sum(cash_reserved) AS reserved FROM new_lines GROUP BY account
        UNION ALL
        SELECT account, asset, sum(shares), sum(shares_reserved) FROM new_lines WHERE asset > 0 GROUP BY account, asset
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

CREATE TRIGGER ledger_apply AFTER INSERT ON ledger_line
    REFERENCING NEW TABLE AS new_lines FOR EACH STATEMENT EXECUTE FUNCTION ledger_apply();

CREATE FUNCTION ledger_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'ledger: a line is never changed or taken back; enter another one' USING ERRCODE = 'check_violation';
END $$;

CREATE TRIGGER ledger_refuse BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_line
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse();

CREATE VIEW ledger_balances AS
    SELECT a.name AS account, s.name AS asset, b.balance, b.reserved
    FROM ledger_balance AS b JOIN ledger_account AS a USING (account) JOIN ledger_asset AS s USING (asset);

CREATE VIEW ledger_postings AS
    SELECT l.sequence, l.side, l.kind, a.name AS account, s.name AS asset, p.part, p.amount, l.order_id
    FROM ledger_line AS l
    CROSS JOIN LATERAL (VALUES
        (0, 'free', l.cash), (0, 'reserved', l.cash_reserved),
        (l.asset, 'free', l.shares), (l.asset, 'reserved', l.shares_reserved)) AS p (asset, part, amount)
    JOIN ledger_account AS a USING (account) JOIN ledger_asset AS s ON s.asset = p.asset
    WHERE p.amount <> 0;

-- What each order has held: taken, of that settled or given back, and what it holds now. At its end `held` is 0.
CREATE VIEW ledger_orders AS
    SELECT l.order_id, a.name AS account, s.name AS asset,
        sum(l.cash_reserved + l.shares_reserved) FILTER (WHERE l.kind IN (1, 3)) AS reserved,
        -sum(l.cash_reserved + l.shares_reserved) FILTER (WHERE l.kind = 4) AS used,
        sum(l.cash) FILTER (WHERE l.kind = 4 AND l.side = 1) AS received,
        -sum(l.cash + l.cash_reserved) FILTER (WHERE l.kind = 4 AND l.side = 0) AS paid,
        -sum(l.cash_reserved + l.shares_reserved) FILTER (WHERE l.kind = 5) AS released,
        sum(l.cash_reserved + l.shares_reserved) AS held
    FROM ledger_line AS l JOIN ledger_account AS a USING (account) JOIN ledger_asset AS s USING (asset)
    WHERE l.order_id <> 0 GROUP BY l.order_id, a.name, s.name;
