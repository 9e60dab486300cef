// The published fix, repaired only as far as it takes to run: look up the webhook id, then check
// the order's status and do the work in one transaction.
module.exports = async function handle(client, { shop, webhookId, order }) {
  const seen = await client.query('SELECT 1 FROM shopify_webhook_log WHERE webhook_id = $1', [
    webhookId,
  ]);
  if (seen.rowCount > 0) return 200;

  await client.query('BEGIN');
  const found = await client.query(
    'SELECT status FROM orders WHERE shop = $1 AND order_id = $2',
    [shop, order.id],
  );
  const internalOrder = found.rows[0];
  if (internalOrder && internalOrder.status === 'paid') {
    await log(client, webhookId, shop, order, 'duplicate_internal_status');
    await client.query('COMMIT');
    return 200;
  }
  await client.query("UPDATE orders SET status = 'paid' WHERE shop = $1 AND order_id = $2", [
    shop,
    order.id,
  ]);
  await createFulfillmentRequest(client, shop, order);
  await log(client, webhookId, shop, order, 'success');
  await client.query('COMMIT');
  return 200;
};

function createFulfillmentRequest(client, shop, order) {
  const lines = order.line_items.map(({ sku, quantity }) => ({ sku, quantity }));
  return client.query(
    `INSERT INTO fulfillment_requests (shop, order_id, idempotency_key, lines)
     VALUES ($1, $2, gen_random_uuid(), $3)`,
    [shop, order.id, JSON.stringify(lines)],
  );
}

function log(client, webhookId, shop, order, status) {
  return client.query(
    'INSERT INTO shopify_webhook_log (webhook_id, shop, order_id, status) VALUES ($1, $2, $3, $4)',
    [webhookId, shop, order.id, status],
  );
}
