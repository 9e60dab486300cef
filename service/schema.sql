-- The service's tables. Applied once, in one transaction, under an advisory lock (database.py).
-- The published article's DDL for shopify_webhook_log does not parse; this is the working form.

CREATE TABLE orders (
    shop        text        NOT NULL,
    order_id    bigint      NOT NULL,   -- Shopify's ids exceed 2^53
    status      text        NOT NULL CHECK (status IN ('pending', 'paid', 'cancelled')),
    total_price numeric,
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (shop, order_id)        -- two shops may use the same number
);

-- The outbox. The relay sends each row to the fulfillment provider with the row's own key.
-- The unique key stops a second shipment only if it names the order; a key made per row
-- (naive, article) is unique by construction and stops nothing.
CREATE TABLE fulfillment_requests (
    id              bigserial   PRIMARY KEY,
    shop            text        NOT NULL,
    order_id        bigint      NOT NULL,
    idempotency_key text        NOT NULL UNIQUE,
    lines           jsonb       NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    sent_at         timestamptz,
    attempts        integer     NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX fulfillment_requests_unsent ON fulfillment_requests (next_attempt_at)
    WHERE sent_at IS NULL;

-- COLLATE "C": the database sorts SKUs exactly as Python does. Every strategy locks stock rows
-- in that order, so that two orders that share SKUs cannot deadlock.
CREATE TABLE stock (
    sku       text COLLATE "C" PRIMARY KEY,
    initial   bigint NOT NULL,
    remaining bigint NOT NULL           -- may go below zero: overselling is not what is tested
);

CREATE TABLE stock_movements (
    id       bigserial PRIMARY KEY,
    shop     text   NOT NULL,
    order_id bigint NOT NULL,
    sku      text   COLLATE "C" NOT NULL,
    quantity bigint NOT NULL
);

CREATE TABLE shopify_webhook_log (
    webhook_id  text        PRIMARY KEY,
    topic       text        NOT NULL,
    shop        text        NOT NULL,
    order_id    bigint      NOT NULL,
    status      text        NOT NULL
        CHECK (status IN ('claimed', 'success', 'duplicate_internal_status')),
    received_at timestamptz NOT NULL DEFAULT now()
);

-- For article_no_primary_key. A child table inherits columns and checks, but no unique key, and
-- whoever reads its parent reads it too.
CREATE TABLE shopify_webhook_log_without_key () INHERITS (shopify_webhook_log);
CREATE INDEX shopify_webhook_log_without_key_id ON shopify_webhook_log_without_key (webhook_id);

INSERT INTO stock (sku, initial, remaining)
SELECT 'ONCE-' || lpad(n::text, 3, '0'), 1000000, 1000000 FROM generate_series(1, 100) AS n;

-- For the strategy `function`: what insert_first does, told in steps.
CREATE FUNCTION fulfil_paid_order(
    of_shop text, of_order bigint, price text, wanted jsonb, key text, delivery text, about text
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    line record;
BEGIN
    INSERT INTO orders (shop, order_id, status, total_price)
    VALUES (of_shop, of_order, 'paid', price::numeric)
    ON CONFLICT (shop, order_id) DO UPDATE SET status = 'paid', updated_at = now()
        WHERE orders.status = 'pending';
    IF NOT FOUND THEN
        -- A query of its own sees what the INSERT has waited for; a settled status stays.
        RETURN CASE (SELECT status FROM orders WHERE shop = of_shop AND order_id = of_order)
            WHEN 'paid' THEN 'duplicate order' ELSE 'order cancelled' END;
    END IF;
    INSERT INTO fulfillment_requests (shop, order_id, idempotency_key, lines)
    VALUES (of_shop, of_order, key, wanted);
    FOR line IN
        SELECT sku, quantity FROM jsonb_to_recordset(wanted) AS ordered (sku text, quantity bigint)
        ORDER BY sku COLLATE "C"
    LOOP
        UPDATE stock SET remaining = remaining - line.quantity WHERE sku = line.sku;
        IF FOUND THEN
            INSERT INTO stock_movements (shop, order_id, sku, quantity)
            VALUES (of_shop, of_order, line.sku, line.quantity);
        END IF;
    END LOOP;
    INSERT INTO shopify_webhook_log (webhook_id, topic, shop, order_id, status)
    VALUES (delivery, about, of_shop, of_order, 'success')
    ON CONFLICT (webhook_id) DO NOTHING;
    RETURN 'fulfillment requested';
END
$$;
