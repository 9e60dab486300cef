-- The steps of service/steps.py, a round trip each: what most consumers do.
\set n :n + 1
\set id 910000000000000000 + :client_id * 1000000000 + :n
\set sku random(1, 100)
BEGIN;
INSERT INTO orders (shop, order_id, status, total_price) VALUES ('onceproof-demo.myshopify.com', :id, 'paid', '10.50'::numeric) ON CONFLICT (shop, order_id) DO UPDATE SET status = 'paid', updated_at = now() WHERE orders.status = 'pending';
INSERT INTO fulfillment_requests (shop, order_id, idempotency_key, lines) VALUES ('onceproof-demo.myshopify.com', :id, E'onceproof-demo.myshopify.com\x3a' || :id::text || E'\x3afulfil\x3av1', (E'[{"sku"\x3a"ONCE-' || lpad(:sku::text, 3, '0') || E'","quantity"\x3a1}]')::jsonb);
UPDATE stock SET remaining = remaining - 1 WHERE sku = 'ONCE-' || lpad(:sku::text, 3, '0');
INSERT INTO stock_movements (shop, order_id, sku, quantity) SELECT 'onceproof-demo.myshopify.com', :id, sku, 1 FROM stock WHERE sku = 'ONCE-' || lpad(:sku::text, 3, '0');
INSERT INTO shopify_webhook_log (webhook_id, topic, shop, order_id, status) VALUES (:id::text || '-4aaa-8aaa-aaaaaaaa', 'orders/paid', 'onceproof-demo.myshopify.com', :id, 'success') ON CONFLICT DO NOTHING;
COMMIT;
