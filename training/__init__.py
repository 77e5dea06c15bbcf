"""How everything that ships was learned and measured."""
