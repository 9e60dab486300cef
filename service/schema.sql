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

-- For the strategy `group`: the same for many orders in one transaction, each step for all of them
-- before the next one. An order has a place in the first five arrays, a webhook id one in the next
-- three and a line of an order one in the last three; `delivery_of` and `line_of` say of which order.
-- Whoever calls it sorts: orders by id, webhook ids by themselves. Rows are locked in that order, and
-- stock in SKU order, so that two batches wait for each other instead of deadlocking. The answer has
-- an outcome for each order.
CREATE FUNCTION fulfil_paid_orders(
    shops text[], numbers bigint[], prices text[], wanted text[], keys text[],
    about text, deliveries text[], delivery_of integer[], delivery_first boolean[],
    line_of integer[], line_sku text[], line_quantity bigint[]
) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
    outcomes text[];
BEGIN
    WITH decided AS (
        INSERT INTO orders (shop, order_id, status, total_price)
        SELECT shop, number, 'paid', price::numeric
        FROM unnest(shops, numbers, prices) WITH ORDINALITY AS asked (shop, number, price, place)
        ORDER BY place
        ON CONFLICT (shop, order_id) DO UPDATE SET status = 'paid', updated_at = now()
            WHERE orders.status = 'pending'
        RETURNING shop, order_id
    )
    SELECT array_agg(CASE WHEN decided.shop IS NOT NULL THEN 'fulfillment requested' END
                     ORDER BY place)
    INTO outcomes
    FROM unnest(shops, numbers) WITH ORDINALITY AS asked (shop, number, place)
    LEFT JOIN decided ON decided.shop = asked.shop AND decided.order_id = asked.number;

    INSERT INTO fulfillment_requests (shop, order_id, idempotency_key, lines)
    SELECT shop, number, key, lines::jsonb
    FROM unnest(shops, numbers, keys, wanted) WITH ORDINALITY AS asked (shop, number, key, lines, place)
    WHERE outcomes[place] IS NOT NULL ORDER BY place;

    WITH line AS (
        SELECT place, sku, quantity
        FROM unnest(line_of, line_sku, line_quantity) AS ordered (place, sku, quantity)
        WHERE outcomes[place] IS NOT NULL
    ), locked AS MATERIALIZED (
        SELECT stock.sku FROM stock WHERE stock.sku IN (SELECT sku FROM line)
        ORDER BY stock.sku FOR UPDATE
    ), taken AS (
        UPDATE stock SET remaining = remaining - total.quantity
        FROM (SELECT sku, sum(quantity)::bigint AS quantity FROM line GROUP BY sku) AS total
        JOIN locked ON locked.sku = total.sku
        WHERE stock.sku = total.sku
    )
    INSERT INTO stock_movements (shop, order_id, sku, quantity)
    SELECT shops[place], numbers[place], line.sku, quantity
    FROM line JOIN locked ON locked.sku = line.sku;

    IF array_position(outcomes, NULL) IS NOT NULL THEN
        -- A query of its own sees what the first one has waited for; a settled status stays.
        SELECT array_agg(
            CASE WHEN outcomes[place] IS NOT NULL THEN outcomes[place]
                 WHEN orders.status = 'paid' THEN 'duplicate order' ELSE 'order cancelled' END
            ORDER BY place)
        INTO outcomes
        FROM unnest(shops, numbers) WITH ORDINALITY AS asked (shop, number, place)
        LEFT JOIN orders ON orders.shop = asked.shop AND orders.order_id = asked.number;
    END IF;

    INSERT INTO shopify_webhook_log (webhook_id, topic, shop, order_id, status)
    SELECT delivery, about, shops[of_order], numbers[of_order],
        CASE WHEN first AND outcomes[of_order] = 'fulfillment requested'
            THEN 'success' ELSE 'duplicate_internal_status' END
    FROM unnest(deliveries, delivery_of, delivery_first) WITH ORDINALITY
        AS came (delivery, of_order, first, place)
    WHERE outcomes[of_order] <> 'order cancelled' ORDER BY place
    ON CONFLICT (webhook_id) DO NOTHING;
    RETURN outcomes;
END
$$;
