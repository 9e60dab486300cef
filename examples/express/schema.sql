CREATE TABLE orders (
    shop     text   NOT NULL,
    order_id bigint NOT NULL,
    status   text   NOT NULL,
    PRIMARY KEY (shop, order_id)
);

CREATE TABLE fulfillment_requests (
    id              bigserial   PRIMARY KEY,
    shop            text        NOT NULL,
    order_id        bigint      NOT NULL,
    idempotency_key text        NOT NULL UNIQUE,
    lines           jsonb       NOT NULL,
    sent_at         timestamptz
);
CREATE INDEX fulfillment_requests_unsent ON fulfillment_requests (id) WHERE sent_at IS NULL;

CREATE TABLE shopify_webhook_log (
    webhook_id  text        PRIMARY KEY,
    shop        text        NOT NULL,
    order_id    bigint      NOT NULL,
    status      text        NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now()
);
