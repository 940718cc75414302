-- The epoch of the inbox stream that holds nothing but what came for people of this registry. A registry that was in use
-- before this was asked has seen its stream from the start.
INSERT INTO facts (name, value) SELECT 'own_epoch', value FROM facts WHERE name = 'epoch';
