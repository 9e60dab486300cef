-- All of it in one round trip and one transaction for each webhook.
\set n :n + 1
\set id 910000000000000000 + :client_id * 1000000000 + :n
\set sku random(1, 100)
SELECT fulfil_paid_order('onceproof-demo.myshopify.com', :id, '10.50', (E'[{"sku"\x3a"ONCE-' || lpad(:sku::text, 3, '0') || E'","quantity"\x3a1}]')::jsonb, E'onceproof-demo.myshopify.com\x3a' || :id::text || E'\x3afulfil\x3av1', :id::text || '-4aaa-8aaa-aaaaaaaa', 'orders/paid');
